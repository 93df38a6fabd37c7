//! The picture of a comparison.

use asyncprof_core::diff::{Diff, DiffOptions, Exposure, Verdict, compare};
use asyncprof_core::profile::Profile;
use asyncprof_core::view::By;
use asyncprof_core::view::testing::ProfileBuilder;

use super::colors::{STEPS, look};
use super::picture::widths;
use super::tests::shop;
use super::{DiffInput, DiffReport, Sort, Width, diff_picture};

const OLD: &str = "shop::old::{{closure}}";

fn compared(base: &Profile, new: &Profile) -> Diff {
    compare(&[base], &[new], &DiffOptions::default())
}

fn drawn(base: Profile, new: Profile, exposure: Exposure, width: Width) -> anyhow::Result<String> {
    let options = DiffOptions {
        exposure: Some(exposure),
        ..DiffOptions::default()
    };
    let diff = compare(&[&base], &[&new], &options);
    let report = DiffReport::new(DiffInput {
        diff: &diff,
        base: &[("base.data".to_owned(), base.meta)],
        new: &[("</text><script>alert(2)</script>".to_owned(), new.meta)],
        min_effect: 0.01,
        detectable: 0.1,
        objections: Vec::new(),
        limit: 20,
        sort: Sort::Change,
        all: false,
    });
    Ok(String::from_utf8(diff_picture(
        &diff,
        &report.captions(By::Wall),
        width,
    )?)?)
}

fn titles(svg: &str) -> Vec<&str> {
    let titles = svg.split("<title>").skip(1);
    titles.filter_map(|rest| rest.split("</title>").next()).collect()
}

#[test]
fn widths_add_up() {
    let (base, new) = (
        shop(10_000_000, OLD),
        shop(12_000_000, "shop::fresh::{{closure}}"),
    );
    let diff = compared(&base, &new);
    // 5 or 6 seconds at the upstream, 2 at the stock, and 1 in the old helper, in the fresh one, or in both.
    for (width, seconds) in [(Width::Union, 10), (Width::Base, 8), (Width::New, 9)] {
        let widths = widths(&diff, width);
        for (at, node) in diff.nodes.iter().enumerate() {
            let below: u64 = node.children.iter().map(|&child| widths[child]).sum();
            assert!(
                node.children.is_empty() || widths[at] == below,
                "{width:?} {}",
                node.name
            );
        }
        assert_eq!(widths[0], seconds * 1_000_000_000, "{width:?}");
    }
}

#[test]
fn sides_swapped_swap_the_colours() {
    let (base, new) = (shop(10_000_000, OLD), shop(16_000_000, OLD));
    let (there, back) = (compared(&base, &new), compared(&new, &base));
    let mut changed = 0;
    for (there, back) in there.nodes.iter().zip(&back.nodes) {
        if there.verdict == Verdict::Slower {
            let step = |fill| {
                STEPS
                    .iter()
                    .position(|step| step.1 == fill || step.2 == fill)
                    .unwrap()
            };
            assert_eq!((look(there).sign, look(back).sign), ("▲", "▼"));
            assert_eq!(step(look(there).fill), step(look(back).fill));
            changed += 1;
        }
    }
    assert!(changed >= 3, "{changed}");
}

#[test]
fn what_got_slower_is_said_and_drawn() {
    let draw = |base, new| drawn(shop(base, OLD), shop(new, OLD), Exposure::Seconds, Width::Union).unwrap();
    let svg = draw(10_000_000, 12_000_000);
    for part in [
        "slower: +1.00 s/s shop::ask_upstream → tokio::…::Sleep [timer]<",
        "faster: nothing is known to be<",
        "in all 8.00 s/s → 9.00 s/s, slower<",
        "▲ 1 slower by &lt; 1.1 ×",
        "<title>▲ +1.00 s/s shop::ask_upstream · +20.0 % (",
        ", slower, base 5.00 s/s = 5,000 × 10.0 ms, new 6.00 s/s = 5,000 × 12.0 ms, change +1.00 s/s = +20.0 %, \
         95 % interval +",
        "fill=\"url(#hatched)\"",
    ] {
        assert!(svg.contains(part), "{part}: {svg}");
    }
    assert_eq!(svg.matches("class=\"outlined\"").count(), 1);
    // The same change looks the same next to a larger one.
    let fill = STEPS[1].1.css();
    assert!(svg.contains(&fill) && draw(10_000_000, 14_000_000).contains(&fill));
    let same = draw(10_000_000, 10_000_000);
    assert!(
        titles(&same)
            .iter()
            .all(|title| !title.starts_with(['▲', '▼', '↔']))
    );
}

#[test]
fn shares_are_percentage_points() {
    let svg = drawn(
        shop(10_000_000, OLD),
        shop(24_000_000, OLD),
        Exposure::Share,
        Width::Union,
    );
    // 5 of 8 seconds, then 12 of 15.
    let svg = svg.unwrap();
    assert!(svg.contains("▲ +17.50 pp shop::ask_upstream"), "{svg}");
    assert!(svg.contains("width = share of all task time,"));
}

#[test]
fn what_vanished_stays_and_names_run_no_script() {
    let draw = |width| {
        let base = shop(10_000_000, "shop::old<script>alert(1)</script>");
        let new = shop(12_000_000, "shop::fresh;\"quoted\" 'and' & spaced é");
        drawn(base, new, Exposure::Seconds, width).unwrap()
    };
    let svg = draw(Width::Union);
    assert!(svg.contains("↔ −1.00 s/s "), "{svg}");
    assert!(svg.contains("&quot;quoted&quot; &#39;and&#39; &amp; spaced é"));
    assert!(svg.contains("&lt;/text&gt;&lt;script&gt;alert(2)"), "{svg}");
    assert!(!svg.contains("<script>alert"));
    assert!(!draw(Width::New).contains("↔ −1.00 s/s "));
}

#[test]
fn no_time_is_no_picture() {
    let empty = || ProfileBuilder::new().build();
    let error = drawn(empty(), empty(), Exposure::Seconds, Width::Union).unwrap_err();
    assert!(error.to_string().starts_with("nothing to draw"), "{error}");
}
