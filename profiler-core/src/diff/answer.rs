//! What a machine asks of a comparison.

use super::compare::{ALPHA, Diff, Verdict};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Did anything get slower?
    Slower,
    Faster,
    /// Either.
    Change,
    /// Is that open?
    Inconclusive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    No,
    Yes,
    CannotTell,
}

impl Diff {
    /// Yes is wrong in at most 5 % of the comparisons of a program with itself; no in at most one of five in which
    /// something changed by as much as `detectable_rate`.
    pub fn answer(&self, question: Question) -> Answer {
        use Verdict::*;
        let (verdicts, level): (&[Verdict], _) = match question {
            Question::Slower => (&[Slower, New], ALPHA),
            Question::Faster => (&[Faster, Gone], ALPHA),
            Question::Change => (&[Slower, New, Faster, Gone], ALPHA / 2.0),
            Question::Inconclusive => {
                return match self.answer(Question::Change) {
                    Answer::CannotTell => Answer::Yes,
                    Answer::Yes | Answer::No => Answer::No,
                };
            }
        };
        let mut findings = self.findings.iter().map(|&at| self.nodes[at].verdict);
        let is_found = findings.any(|verdict| verdicts.contains(&verdict));
        let Some(gate) = self.gate else {
            return if is_found { Answer::Yes } else { Answer::CannotTell };
        };
        let (p, detectable) = match question {
            Question::Slower => (gate.slower, gate.detectable),
            Question::Faster => (gate.faster, gate.detectable),
            _ => (gate.slower.min(gate.faster), gate.detectable_either),
        };
        match p <= level {
            true => Answer::Yes,
            // What the table lists is not denied.
            false if is_found || detectable > self.detectable_rate => Answer::CannotTell,
            false => Answer::No,
        }
    }
}
