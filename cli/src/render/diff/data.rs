//! The numbers of a comparison, as `diff --json` writes them. Rates are ns of task time per what `per` says.

use std::io::Write;

use asyncprof_core::diff::{Answer, Dealt, Diff, DiffNode, Estimate, Exposure, Question, Verdict};
use asyncprof_core::profile::Meta;
use asyncprof_core::view::{By, Category, FrameKind};
use serde::Serialize;

use super::lengths::LengthEntry;
use super::picture::Captions;
use super::unit::Unit;
use crate::render::{labels, units};

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
    /// `work` (a unit of it), `second` of recording, `load` (a second at equal load) or `share` (a second of all compared
    /// time).
    pub(super) per: &'static str,
    /// What each side has of it in a second of recording: units of work, seconds at equal load, task time.
    pub(super) exposed_per_second: [f64; 2],
    #[serde(skip)]
    pub(super) unit: Unit,
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
    pub(super) slower: &'static str,
    pub(super) faster: &'static str,
    /// Places with waits that got longer or shorter, most time first, at most `limit`.
    pub(super) lengths: Vec<NodeEntry>,
    pub(super) lengths_total: usize,
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
    /// Of waits and delays at the ends of stacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) lengths: Vec<LengthEntry>,
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
    /// `windows`, `runs`, or `nothing` (the p-values are Bonferroni's).
    pub(super) permuted: &'static str,
    /// A change by this part of all would have been seen in four of five cases; none if none would.
    pub(super) detectable: Option<f64>,
    /// "No" takes no more than this.
    pub(super) detectable_limit: f64,
}

impl GateEntry {
    /// `limit`: the part of all that `detectable_rate` is.
    pub(super) fn of(diff: &Diff, limit: f64) -> Option<GateEntry> {
        diff.gate.map(|gate| GateEntry {
            slower_p: gate.slower,
            faster_p: gate.faster,
            permuted: match gate.by {
                Dealt::Windows => "windows",
                Dealt::Runs => "runs",
                Dealt::Nothing => "nothing",
            },
            detectable: Some(gate.detectable / diff.detectable_rate * limit).filter(|part| part.is_finite()),
            detectable_limit: limit,
        })
    }
}

/// `yes`, `no` or `cannot tell`.
pub(super) fn said(diff: &Diff, question: Question) -> &'static str {
    match diff.answer(question) {
        Answer::Yes => "yes",
        Answer::No => "no",
        Answer::CannotTell => "cannot tell",
    }
}

pub(crate) struct DiffInput<'a> {
    pub(crate) diff: &'a Diff,
    /// Names of recordings, and what they say of themselves.
    pub(crate) base: &'a [(String, Meta)],
    pub(crate) new: &'a [(String, Meta)],
    pub(crate) min_effect: f64,
    pub(crate) detectable: f64,
    pub(crate) objections: Vec<String>,
    pub(crate) limit: usize,
    pub(crate) sort: Sort,
    /// With all places.
    pub(crate) all: bool,
}

impl DiffReport {
    pub(crate) fn new(input: DiffInput<'_>) -> DiffReport {
        let diff = input.diff;
        let (findings, places) = listed(diff, input.sort, input.all);
        let entry = |at: usize| NodeEntry::new(diff, at);
        let times = diff.times_longer();
        let lengths = diff.of_other_length();
        DiffReport {
            format: "asyncprof-diff",
            version: 1,
            base: input.base.iter().map(RunEntry::new).collect(),
            new: input.new.iter().map(RunEntry::new).collect(),
            per: match diff.exposure {
                Exposure::Seconds => "second",
                Exposure::Work => "work",
                Exposure::Load => "load",
                Exposure::Share => "share",
            },
            exposed_per_second: diff.exposed_per_second,
            unit: diff.exposure.into(),
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
            gate: GateEntry::of(diff, input.detectable),
            slower: said(diff, Question::Slower),
            faster: said(diff, Question::Faster),
            lengths_total: lengths.len(),
            lengths: lengths.into_iter().take(input.limit).map(entry).collect(),
            objections: input.objections,
            places: places.into_iter().map(entry).collect(),
        }
    }
}

/// The nodes of the findings, and if `all` is wanted of every place, in the order that was asked for.
pub(super) fn listed(diff: &Diff, by: Sort, all: bool) -> (Vec<usize>, Vec<usize>) {
    let mut findings = diff.findings.clone();
    sort(&mut findings, diff, by);
    let mut places: Vec<usize> = (0..diff.nodes.len())
        .filter(|&at| all && diff.nodes[at].children.is_empty())
        .collect();
    sort(&mut places, diff, by);
    (findings, places)
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

impl DiffReport {
    /// What the picture says around the frames.
    pub(crate) fn captions(&self, by: By) -> Captions {
        let side = |runs: &[RunEntry]| {
            let ns = runs.iter().map(|run| run.duration_ns).sum();
            let files: Vec<&str> = runs.iter().map(|run| run.file.as_str()).collect();
            format!("{} ({})", side_name(&files), units::duration(ns))
        };
        Captions {
            base: side(&self.base),
            new: side(&self.new),
            time: match by {
                By::Wait => "time suspended at an await",
                By::Io => "time waiting for I/O",
                By::Sched => "time without a worker",
                By::Running => "time being polled",
                By::Cpu => "time on the CPU in polls",
                By::Blocked => "time off the CPU in polls",
                By::Wall | By::Wake | By::Delay => "task time",
            },
            per: match self.per {
                "second" => " per second",
                "load" => " per second at equal load",
                "work" => " per unit of work",
                _ => "",
            },
            unit: self.unit,
            min_effect: self.min_effect,
        }
    }
}

/// `a.data and 2 more`.
pub(super) fn side_name(files: &[&str]) -> String {
    match files {
        [file] => units::tail(file, 40),
        files => format!(
            "{} and {} more",
            units::tail(files[0], 30),
            units::count(files.len() as u64 - 1)
        ),
    }
}

impl RunEntry {
    fn new((file, meta): &(String, Meta)) -> RunEntry {
        RunEntry {
            file: file.clone(),
            command: meta.command.clone(),
            duration_ns: meta.duration_ns,
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
            lengths: node.percentiles.iter().map(LengthEntry::from).collect(),
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
    pub(super) fn of(diff: &Diff) -> Counts {
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
            | FrameKind::Others(_)
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
