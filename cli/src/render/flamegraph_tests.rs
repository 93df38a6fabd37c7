//! Tests of the picture: well-formed whatever the names, every frame titled and coloured, the same every time.

use asyncprof_core::profile::Profile;
use asyncprof_core::view::{Activity, By, Kind};

use super::flamegraph::{FlamegraphOptions, flamegraph};
use super::{palette, testing};

fn picture(profile: &Profile, options: &FlamegraphOptions) -> String {
    let mut out = Vec::new();
    flamegraph(profile, options, &mut out).expect("a picture");
    String::from_utf8(out).expect("UTF-8")
}

/// Panics unless the tags match and no text holds a raw `<`; returns the titles, unescaped.
fn titles(svg: &str) -> Vec<String> {
    let (mut open, mut titles, mut rest) = (Vec::new(), Vec::new(), svg);
    while let Some(at) = rest.find('<') {
        let text = &rest[..at];
        assert!(
            !text.contains('>') || open.last() == Some(&"style"),
            "stray > in {text:?}"
        );
        assert!(
            text.match_indices('&')
                .all(|(at, _)| text[at..].split(';').next().unwrap().len() <= 6),
            "{text:?}"
        );
        if open.last() == Some(&"title") {
            titles.push(unescaped(text));
        }
        rest = &rest[at..];
        let special = [
            ("<?", "?>"),
            ("<!--", "-->"),
            ("<![CDATA[", "]]>"),
            ("<!DOCTYPE", ">"),
        ];
        if let Some((_, end)) = special.iter().find(|(start, _)| rest.starts_with(start)) {
            rest = &rest[rest.find(end).expect("closed") + end.len()..];
            continue;
        }
        let end = rest.find('>').expect("a closed tag");
        let tag = &rest[1..end];
        let name = tag.trim_matches('/').split_whitespace().next().expect("a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert_eq!(open, [""; 0]);
    titles
}

fn unescaped(text: &str) -> String {
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    entities.iter().fold(text.to_owned(), |text, (entity, plain)| {
        text.replace(entity, plain)
    })
}

/// What inferno's JavaScript shows: the title without its last pair of parentheses.
fn label(title: &str) -> &str {
    assert!(title.ends_with(')'), "{title}");
    title[..title.rfind('(').expect("details")].trim_end()
}

#[test]
fn the_service() {
    let svg = picture(&testing::service(), &FlamegraphOptions::default());
    let titles = titles(&svg);
    let request = titles.iter().find(|title| label(title) == "reqwest::…::Pending");
    assert!(
        request.is_some_and(|title| title.contains("(reqwest::async_impl::client::Pending::poll, 60.4 s, ")),
        "{titles:#?}"
    );
    let handler = titles
        .iter()
        .find(|title| label(title).starts_with("demo::handle · "))
        .expect("the handler");
    assert!(
        handler.contains("src/demo/server.rs:41") || handler.contains("demo/server.rs:41"),
        "{handler}"
    );
    assert!(
        titles.iter().any(|title| label(title) == "[io] 50.3 ms × 1,200"),
        "{titles:#?}"
    );
    assert!(
        titles
            .iter()
            .any(|title| label(title) == "21.0 ms [blocking] × 1,200"),
        "{titles:#?}"
    );
    assert!(
        !titles.iter().any(|title| title.starts_with("tokio worker")),
        "hidden by default"
    );
    assert!(svg.contains(&palette::of_activity(Activity::Waiting(Kind::Io)).css()));
    assert!(!svg.contains(">n0000"), "no frame kept its number");
    assert_eq!(
        svg,
        picture(&testing::service(), &FlamegraphOptions::default()),
        "deterministic"
    );
}

#[test]
fn by_wake() {
    let options = FlamegraphOptions {
        by: By::Wake,
        ..Default::default()
    };
    let svg = picture(&testing::service(), &options);
    let titles = titles(&svg);
    for name in [
        "-- woken by -- blocking",
        "[blocking task] demo::query",
        "-- woken by -- timer",
        "[timer]",
    ] {
        assert!(
            titles.iter().any(|title| label(title) == name),
            "{name}: {titles:#?}"
        );
    }
    assert!(svg.contains("left out: 100 s of waiting"), "{svg}");
}

#[test]
fn hostile_names() {
    for inverted in [false, true] {
        let options = FlamegraphOptions {
            inverted,
            show_runtime: true,
            title: Some("<b>\u{0}&".to_owned()),
            ..FlamegraphOptions::default()
        };
        let svg = picture(&testing::hostile(), &options);
        let titles = titles(&svg);
        let labels: Vec<&str> = titles.iter().map(|title| label(title)).collect();
        let group = "a;b \"c\" <d> & 'e' 漢字 \u{fffd}[31m\u{fffd} ]]> (f) 12";
        for name in [
            group,
            "Vec<[u8; 8]>::call 17",
            "rest",
            "all",
            "all tasks",
            "fn(u8) -> u8::call",
        ] {
            assert!(labels.contains(&name), "{name:?} in {labels:#?}");
        }
        assert!(!svg.contains("<script>alert"));
        assert!(
            !svg.chars()
                .any(|c| c.is_control() && c != '\n' && c != '\t' && c != '\r')
        );
    }
}

#[test]
fn narrow_frames_are_left_out() {
    let all = titles(&picture(
        &testing::service(),
        &FlamegraphOptions {
            min_width_px: Some(0.0),
            ..Default::default()
        },
    ));
    let wide = titles(&picture(
        &testing::service(),
        &FlamegraphOptions {
            min_width_px: Some(100.0),
            ..Default::default()
        },
    ));
    assert!(wide.len() < all.len(), "{} {}", wide.len(), all.len());
}

#[test]
fn nothing_recorded_is_said() {
    let empty = asyncprof_core::view::testing::ProfileBuilder::new().build();
    let fails = |profile: &Profile, by| {
        let options = FlamegraphOptions {
            by,
            ..Default::default()
        };
        flamegraph(profile, &options, Vec::new())
            .expect_err("nothing to draw")
            .to_string()
    };
    assert_eq!(
        fails(&empty, By::Wall),
        "no task time recorded: the program polled no task while it was recorded"
    );
    assert!(fails(&testing::hostile(), By::Io).starts_with("no I/O wait recorded"));
}

/// For looking at: `cargo test -p asyncprof-cli draw_samples -- --ignored` writes to the temporary folder.
#[test]
#[ignore = "writes pictures to look at"]
fn draw_samples() {
    for (name, by, inverted) in [
        ("wall", By::Wall, false),
        ("inverted", By::Wall, true),
        ("wait", By::Wait, false),
        ("wake", By::Wake, false),
    ] {
        let options = FlamegraphOptions {
            by,
            inverted,
            ..Default::default()
        };
        let path = std::env::temp_dir().join(format!("asyncprof-sample-{name}.svg"));
        std::fs::write(path, picture(&testing::service(), &options)).expect("a writable temporary folder");
    }
}

#[test]
fn a_continued_wait_says_that_it_is_an_attribution() {
    let svg = picture(&testing::service(), &FlamegraphOptions::default());
    assert!(svg.contains(">below a wait for a task: what the awaited tasks did, in the proportions of all"));
    // Of 21 ms in the blocking task 20 ms of 20.09 ms ran.
    let attributed =
        |title: &&str| title.contains(", 20.9 ms of each wait, in the proportions of all such tasks");
    let title = svg.split("<title>").find(attributed);
    let title = title.and_then(|title| title.split("</title>").next());
    let title = title.expect("what the blocking task did, below the wait for it");
    assert!(
        title.contains("[running]") && title.contains("× 1,200"),
        "{title}"
    );
    assert!(!title.contains("episode"), "{title}");
    let inverted = FlamegraphOptions {
        inverted: true,
        ..FlamegraphOptions::default()
    };
    assert!(!picture(&testing::service(), &inverted).contains("below a wait for a task"));
}
