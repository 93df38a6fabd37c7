//! Turns inferno's picture of numbered frames into ours: names, tooltips, colours, legend.
//!
//! inferno lays out and draws, and brings the JavaScript for zoom and search. It knows neither states nor
//! statistics, and its folded input cannot hold every Rust name: so it draws frames named `n00000001`, and
//! here each is given its real text and colour. That text reaches the file through [`escape`] only.

use super::labels;
use super::layout::frame_index;
use super::palette::Color;

/// What a frame of the picture shows.
pub(crate) struct FrameText {
    pub(crate) label: String,
    /// Shown behind the label, in parentheses.
    pub(crate) details: String,
    pub(crate) fill: Color,
    pub(crate) strong: bool,
    /// Drawn with stripes over the colour of [`HATCHED`].
    pub(crate) hatched: bool,
    pub(crate) outlined: bool,
}

impl FrameText {
    /// Of frames that are too narrow to be drawn one by one.
    pub(crate) fn of_others(frames: usize, details: String) -> FrameText {
        FrameText {
            label: labels::others(frames),
            details,
            fill: OTHERS,
            strong: false,
            hatched: false,
            outlined: false,
        }
    }
}

/// An entry of the legend.
pub(crate) struct LegendEntry {
    pub(crate) color: Color,
    pub(crate) text: String,
    pub(crate) hatched: bool,
}

pub(crate) struct Header {
    /// Lines of text above the legend, under inferno's title and subtitle.
    pub(crate) lines: Vec<String>,
    pub(crate) legend: Vec<LegendEntry>,
}

/// What hatched frames are filled with.
pub(crate) const HATCHED: Color = Color(238, 238, 234);

/// What frames that are too narrow to be drawn one by one are filled with.
const OTHERS: Color = Color(222, 222, 222);

fn fill_of(color: Color, hatched: bool) -> String {
    match hatched {
        true => "url(#hatched)".to_owned(),
        false => color.css(),
    }
}

pub(crate) const FONT_SIZE: usize = 12;
pub(crate) const FONT_WIDTH: f64 = 0.6;
pub(crate) const IMAGE_WIDTH: usize = 1200;
const SIDE: usize = 10;
const LINE_HEIGHT: usize = 18;

/// Rewrites inferno's SVG. `frame` gives the text of each position in the layout.
pub(crate) fn finish(svg: &str, header: &Header, frame: impl Fn(usize) -> FrameText) -> Option<String> {
    let frames_at = svg.find("<svg id=\"frames\"")?;
    let (head, frames) = svg.split_at(frames_at);
    let legend = place_legend(&header.legend);
    let rows = header.lines.len() + legend.last().map_or(0, |last| last.row + 1);
    let added = rows * LINE_HEIGHT;

    let mut out = String::with_capacity(svg.len() * 2);
    write_head(&mut out, head, added)?;
    write_header(&mut out, header, &legend);
    let first = frames.find("<g>")?;
    out.push_str(&frames[..first]);
    let mut rest = &frames[first..];
    while let Some(group) = rest.strip_prefix("<g>") {
        let end = group.find("</g>")?;
        write_frame(&mut out, &group[..end], added, &frame)?;
        rest = &group[end + "</g>".len()..];
    }
    out.push_str(rest);
    Some(out)
}

/// Makes room for `added` pixels below the subtitle.
fn write_head(out: &mut String, head: &str, added: usize) -> Option<()> {
    let height: usize = attribute(head, "height")?.parse().ok()?;
    let taller = height + added;
    let head = head
        .replacen(
            &format!("height=\"{height}\""),
            &format!("height=\"{taller}\""),
            1,
        )
        .replacen(
            &format!("0 0 {IMAGE_WIDTH} {height}"),
            &format!("0 0 {IMAGE_WIDTH} {taller}"),
            1,
        );
    // The background is the last rectangle before the texts.
    let background = head.rfind("<rect")?;
    out.push_str(&head[..background]);
    let mut rest = head[background..].replacen(
        &format!("height=\"{height}\""),
        &format!("height=\"{taller}\""),
        1,
    );
    for id in ["details", "matched"] {
        let at = rest.find(&format!("<text id=\"{id}\""))?;
        let moved = moved_down(&rest[at..], added)?;
        rest.replace_range(at.., &moved);
    }
    out.push_str(&rest);
    Some(())
}

/// The text with its first `y` attribute increased.
fn moved_down(text: &str, added: usize) -> Option<String> {
    let y: f64 = attribute(text, "y")?.parse().ok()?;
    let old = format!(" y=\"{}\"", attribute(text, "y")?);
    Some(text.replacen(&old, &format!(" y=\"{}\"", y + added as f64), 1))
}

fn attribute<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!(" {name}=\""))? + name.len() + 3;
    text[start..].split('"').next()
}

fn write_frame(
    out: &mut String,
    group: &str,
    added: usize,
    frame: impl Fn(usize) -> FrameText,
) -> Option<()> {
    let title = group.strip_prefix("<title>")?;
    let name = title.split(" (").next()?;
    let Some(index) = frame_index(name) else {
        return Some(());
    };
    let FrameText {
        label,
        details,
        fill,
        strong,
        hatched,
        outlined,
    } = frame(index);
    let rect = &group[group.find("<rect")?..];
    let text = &rect[rect.find("<text")?..];
    let rect = moved_down(&rect[..rect.len() - text.len()], added)?;
    let rect = rect.replacen(attribute(&rect, "fill")?, &fill_of(fill, hatched), 1);
    let rect = match outlined {
        true => rect.replacen("<rect", "<rect class=\"outlined\"", 1),
        false => rect,
    };
    let text = moved_down(&text[..=text.find('>')?], added)?;
    let width_px = attribute(&rect, "width")?
        .trim_end_matches('%')
        .parse::<f64>()
        .ok()?
        / 100.0
        * (IMAGE_WIDTH - 2 * SIDE) as f64;
    let class = match (strong, fill.is_dark()) {
        (true, true) => " class=\"strong dark\"",
        (true, false) => " class=\"strong\"",
        (false, _) => "",
    };
    let text = text.replacen("<text", &format!("<text{class}"), 1);
    out.push_str(&format!(
        "<g><title>{} ({})</title>",
        escape(&label),
        escape(&details.replace('(', "[").replace(')', "]"))
    ));
    out.push_str(&rect);
    out.push_str(&format!("{text}{}</text></g>", escape(&fitted(&label, width_px))));
    Some(())
}

/// The start of the label that fits, as inferno's JavaScript does it once the picture is open.
fn fitted(label: &str, width_px: f64) -> String {
    let fits = chars_in(width_px);
    let length = label.chars().count();
    match fits {
        0..=2 => String::new(),
        _ if length <= fits => label.to_owned(),
        _ => format!("{}..", label.chars().take(fits - 2).collect::<String>()),
    }
}

/// Whether the whole label can be read in a box of this share of the whole width.
pub(crate) fn fits(label: &str, share: f64) -> bool {
    label.chars().count() <= chars_in(share * (IMAGE_WIDTH - 2 * SIDE) as f64)
}

fn chars_in(width_px: f64) -> usize {
    ((width_px - 6.0) / (FONT_SIZE as f64 * FONT_WIDTH)) as usize
}

struct PlacedEntry {
    x: usize,
    row: usize,
}

fn place_legend(entries: &[LegendEntry]) -> Vec<PlacedEntry> {
    let (mut x, mut row) = (SIDE, 0);
    let place = |entry: &LegendEntry| {
        let width = 18 + (entry.text.chars().count() as f64 * FONT_SIZE as f64 * FONT_WIDTH) as usize + 16;
        if x + width > IMAGE_WIDTH - SIDE && x > SIDE {
            (x, row) = (SIDE, row + 1);
        }
        let placed = PlacedEntry { x, row };
        x += width;
        placed
    };
    entries.iter().map(place).collect()
}

fn write_header(out: &mut String, header: &Header, legend: &[PlacedEntry]) {
    // Under inferno's subtitle, whose baseline is at four times the font size.
    let top = FONT_SIZE * 4 + LINE_HEIGHT;
    out.push_str("<style type=\"text/css\">.strong { font-weight:bold; } .dark { fill:#ffffff; } #frames > g > rect { stroke:#ffffff; stroke-width:0.5; } #frames > g > rect.outlined { stroke:#000000; stroke-width:1.5; }</style>");
    if header.legend.iter().any(|entry| entry.hatched) {
        out.push_str(&format!(
            "<defs><pattern id=\"hatched\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"{}\"/><rect width=\"2\" height=\"6\" fill=\"rgb(205,205,200)\"/></pattern></defs>",
            HATCHED.css()
        ));
    }
    for (index, line) in header.lines.iter().enumerate() {
        let y = top + index * LINE_HEIGHT;
        out.push_str(&format!(
            "<text x=\"50%\" y=\"{y}\" style=\"text-anchor:middle\" fill=\"rgb(90,90,90)\">{}</text>",
            escape(line)
        ));
    }
    let top = top + header.lines.len() * LINE_HEIGHT;
    for (entry, place) in header.legend.iter().zip(legend) {
        let y = top + place.row * LINE_HEIGHT;
        out.push_str(&format!(
            "<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{}\" y=\"{y}\">{}</text>",
            place.x,
            y - 10,
            fill_of(entry.color, entry.hatched),
            place.x + 18,
            escape(&entry.text)
        ));
    }
}

/// Text for XML content and attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in super::units::printable(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}
