//! What a fixture measured of its own waits; `fixtures/README.md` tells what its figures contain.

use std::fs;
use std::path::Path;

/// One line of the file that `WAITS_TRUTH` names.
#[derive(Clone, Debug)]
pub struct Truth {
    /// The innermost async fn of the program at the await.
    pub site: String,
    pub kind: String,
    pub total_ns: u64,
    pub episodes: u64,
}

/// All lines of the file; none if there is no file.
pub fn read(path: &Path) -> Vec<Truth> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(parse).collect()
}

fn parse(line: &str) -> Truth {
    let value: serde_json::Value = serde_json::from_str(line).expect("each line is a JSON object");
    let text = |key: &str| value[key].as_str().expect("a text").to_owned();
    let number = |key: &str| value[key].as_u64().expect("a number");
    Truth {
        site: text("site"),
        kind: text("kind"),
        total_ns: number("total_ns"),
        episodes: number("episodes"),
    }
}
