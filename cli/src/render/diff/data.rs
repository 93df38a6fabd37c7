//! The numbers of a comparison, as `diff --json` writes them. Rates are ns of task time per second of the recording,
//! or with `"per": "task-time"` per second of task time.

use std::io::Write;

use asyncprof_core::diff::{Answer, Diff, DiffNode, Estimate, Exposure, Question, Verdict};
use asyncprof_core::profile::Profile;
use asyncprof_core::view::{Category, FrameKind};
use serde::Serialize;

use crate::render::labels;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Largest change first.
    #[default]
    Change,
    /// Largest in relation to the node's own time.
    Relative,
    /// Surest first.
    Q,
    Name,
}

#[derive(Debug, Serialize)]
pub(crate) struct DiffReport {
    /// Always `asyncprof-diff`.
    format: &'static str,
    version: u32,
    pub(super) base: Vec<RunEntry>,
    pub(super) new: Vec<RunEntry>,
    /// `second` of recording, or `task-time`.
    pub(super) per: &'static str,
    /// Of all that is compared.
    pub(super) total: NodeEntry,
    /// A change below this rate does not matter.
    pub(super) min_effect_rate: f64,
    /// The part of the total that it is.
    pub(super) min_effect: f64,
    /// What is to blame, at most `limit`.
    pub(super) findings: Vec<NodeEntry>,
    pub(super) findings_total: usize,
    pub(super) counts: Counts,
    /// How many times as long the recordings must be for half, and for all, of the inconclusive places.
    pub(super) times_longer: Option<TimesLonger>,
    pub(super) gate: Option<GateEntry>,
    /// `yes`, `no` or `cannot tell`.
    slower: &'static str,
    faster: &'static str,
    /// Why the sides had better not be compared.
    pub(super) objections: Vec<String>,
    /// All places, largest change first; only with --all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) places: Vec<NodeEntry>,
}

#[derive(Debug, Serialize)]
pub(super) struct RunEntry {
    pub(super) file: String,
    pub(super) command: Vec<String>,
    pub(super) duration_ns: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct NodeEntry {
    pub(super) verdict: &'static str,
    /// The function, with what it awaits and the state where it is the end of a stack.
    pub(super) frame: String,
    /// What it is inside of, outermost first: it changed because of this.
    pub(super) inside: Vec<String>,
    /// Whole names, from the root's child to the node.
    pub(super) path: Vec<String>,
    pub(super) base: SideEntry,
    pub(super) new: SideEntry,
    /// New rate − base rate.
    pub(super) change: f64,
    /// In which the true change lies with 95 %.
    pub(super) interval: (f64, f64),
    standard_error: f64,
    /// None where too few episodes were seen to test anything.
    pub(super) p: Option<f64>,
    pub(super) q: Option<f64>,
    /// Where the time went, or came from.
    pub(super) moved: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct SideEntry {
    pub(super) rate: f64,
    /// Seen to end.
    pub(super) episodes: u64,
    pub(super) mean_ns: u64,
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Counts {
    /// Findings.
    pub(super) slower: usize,
    pub(super) faster: usize,
    pub(super) new: usize,
    pub(super) gone: usize,
    /// Pairs.
    pub(super) moved: usize,
    /// Places: states at the ends of stacks.
    pub(super) places: usize,
    pub(super) unchanged: usize,
    pub(super) inconclusive: usize,
    pub(super) rare: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct TimesLonger {
    pub(super) half: f64,
    pub(super) all: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct GateEntry {
    /// How often permuted labels give an increase as large, somewhere.
    pub(super) slower_p: f64,
    pub(super) faster_p: f64,
    /// `windows` or `runs`.
    pub(super) permuted: &'static str,
}

pub(crate) struct DiffInput<'a> {
    pub(crate) diff: &'a Diff,
    /// Names and profiles.
    pub(crate) base: &'a [(String, Profile)],
    pub(crate) new: &'a [(String, Profile)],
    pub(crate) exposure: Exposure,
    pub(crate) min_effect: f64,
    pub(crate) objections: Vec<String>,
    pub(crate) limit: usize,
    pub(crate) sort: Sort,
    /// With all places.
    pub(crate) all: bool,
}

impl DiffReport {
    pub(crate) fn new(input: DiffInput<'_>) -> DiffReport {
        let diff = input.diff;
        let mut findings = diff.findings.clone();
        sort(&mut findings, diff, input.sort);
        let mut places: Vec<usize> = (0..diff.nodes.len())
            .filter(|&at| input.all && diff.nodes[at].children.is_empty())
            .collect();
        sort(&mut places, diff, input.sort);
        let entry = |at: usize| NodeEntry::new(diff, at);
        let said = |question| match diff.answer(question) {
            Answer::Yes => "yes",
            Answer::No => "no",
            Answer::CannotTell => "cannot tell",
        };
        let times = diff.times_longer();
        DiffReport {
            format: "asyncprof-diff",
            version: 1,
            base: input.base.iter().map(RunEntry::new).collect(),
            new: input.new.iter().map(RunEntry::new).collect(),
            per: match input.exposure {
                Exposure::Seconds => "second",
                Exposure::Share => "task-time",
            },
            total: entry(0),
            min_effect_rate: diff.min_effect_rate,
            min_effect: input.min_effect,
            findings_total: findings.len(),
            findings: findings.into_iter().take(input.limit).map(entry).collect(),
            counts: Counts::of(diff),
            times_longer: times.last().map(|&all| TimesLonger {
                half: times[(times.len() - 1) / 2],
                all,
            }),
            gate: diff.gate.map(|gate| GateEntry {
                slower_p: gate.slower,
                faster_p: gate.faster,
                permuted: if gate.by_runs { "runs" } else { "windows" },
            }),
            slower: said(Question::Slower),
            faster: said(Question::Faster),
            objections: input.objections,
            places: places.into_iter().map(entry).collect(),
        }
    }
}

fn sort(nodes: &mut [usize], diff: &Diff, sort: Sort) {
    let relative = |node: &DiffNode| node.effect.abs() / node.base.rate.max(node.new.rate);
    nodes.sort_by(|&a, &b| {
        let (a, b) = (&diff.nodes[a], &diff.nodes[b]);
        let by_change = || b.effect.abs().total_cmp(&a.effect.abs());
        match sort {
            Sort::Change => by_change(),
            Sort::Relative => relative(b).total_cmp(&relative(a)).then_with(by_change),
            Sort::Q => (a.q.unwrap_or(2.0).total_cmp(&b.q.unwrap_or(2.0))).then_with(by_change),
            Sort::Name => a.name.cmp(&b.name).then_with(by_change),
        }
    });
}

impl RunEntry {
    fn new((file, profile): &(String, Profile)) -> RunEntry {
        RunEntry {
            file: file.clone(),
            command: profile.meta.command.clone(),
            duration_ns: profile.meta.duration_ns,
        }
    }
}

impl NodeEntry {
    fn new(diff: &Diff, at: usize) -> NodeEntry {
        let node = &diff.nodes[at];
        let above = |at| {
            let mut names: Vec<String> = diff.ancestors(at).map(|at| diff.nodes[at].name.clone()).collect();
            names.reverse();
            names
        };
        let (frame, own) = frame(diff, at);
        let partner = node.partner.map(|partner| self::frame(diff, partner).0);
        NodeEntry {
            verdict: node.verdict.name(),
            frame,
            inside: above(own),
            path: above(at).into_iter().chain([node.name.clone()]).collect(),
            base: SideEntry::new(&node.base),
            new: SideEntry::new(&node.new),
            change: node.effect,
            interval: node.interval,
            standard_error: node.standard_error,
            p: node.p,
            q: node.q,
            moved: partner,
        }
    }
}

impl SideEntry {
    fn new(side: &Estimate) -> SideEntry {
        SideEntry {
            rate: side.rate,
            episodes: side.episodes,
            mean_ns: side.stats.mean_ns(),
            p50_ns: side.stats.quantile_ns(0.5),
            p99_ns: side.stats.quantile_ns(0.99),
        }
    }
}

impl Counts {
    fn of(diff: &Diff) -> Counts {
        let mut counts = Counts::default();
        for &finding in &diff.findings {
            let node = &diff.nodes[finding];
            match node.verdict {
                Verdict::Slower => counts.slower += 1,
                Verdict::Faster => counts.faster += 1,
                Verdict::New => counts.new += 1,
                Verdict::Gone => counts.gone += 1,
                // Once, though both ends are findings.
                Verdict::Moved => counts.moved += usize::from(node.effect > 0.0),
                Verdict::Unchanged | Verdict::Inconclusive | Verdict::Rare => {}
            }
        }
        for leaf in diff.leaves() {
            counts.places += 1;
            match leaf.verdict {
                Verdict::Unchanged => counts.unchanged += 1,
                Verdict::Inconclusive => counts.inconclusive += 1,
                Verdict::Rare => counts.rare += 1,
                _ => {}
            }
        }
        counts
    }
}

/// `app::fetch → tokio::…::Sleep [timer]`: the app's innermost function, what it calls, and the state. And the node of
/// that function.
pub(super) fn frame(diff: &Diff, at: usize) -> (String, usize) {
    let mut called = String::new();
    let mut state = String::new();
    let mut own = 0;
    for at in std::iter::once(at).chain(diff.ancestors(at)) {
        let node = &diff.nodes[at];
        own = at;
        match node.kind {
            FrameKind::State(_) => state = format!(" {}", node.name),
            FrameKind::Function(Category::App)
            | FrameKind::Group(_)
            | FrameKind::Process
            | FrameKind::Root => break,
            // Of a library's frames the one that the app calls.
            kind => called = format!(" → {}", labels::label(&node.name, kind)),
        }
    }
    (format!("{}{called}{state}", diff.nodes[own].name), own)
}

/// Writes the report as one JSON object.
pub(crate) fn diff_json(report: &impl Serialize, mut out: impl Write) -> anyhow::Result<()> {
    // In one piece: an error of the writer comes back as what it is, not as one of JSON.
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    out.write_all(&text)?;
    out.flush()?;
    Ok(())
}
