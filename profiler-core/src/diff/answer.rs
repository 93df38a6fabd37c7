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
    /// Yes is wrong in at most 5 % of the comparisons of a program with itself. No needs a gate, no finding in that
    /// direction, and a total that is unchanged or went the other way.
    pub fn answer(&self, question: Question) -> Answer {
        use Verdict::*;
        let found = |verdicts: &[Verdict]| {
            let mut findings = self.findings.iter().map(|&at| self.nodes[at].verdict);
            findings.any(|verdict| verdicts.contains(&verdict))
        };
        let (verdicts, p, level): (&[Verdict], _, _) = match question {
            Question::Slower => (&[Slower, New], self.gate.map(|gate| gate.slower), ALPHA),
            Question::Faster => (&[Faster, Gone], self.gate.map(|gate| gate.faster), ALPHA),
            Question::Change => (
                &[Slower, New, Faster, Gone],
                self.gate.map(|gate| gate.slower.min(gate.faster)),
                ALPHA / 2.0,
            ),
            Question::Inconclusive => {
                return match self.answer(Question::Change) {
                    Answer::CannotTell => Answer::Yes,
                    Answer::Yes | Answer::No => Answer::No,
                };
            }
        };
        match p {
            Some(p) if p <= level => Answer::Yes,
            Some(_) if found(verdicts) || matches!(self.root().verdict, Inconclusive | Rare) => {
                Answer::CannotTell
            }
            Some(_) => Answer::No,
            None if found(verdicts) => Answer::Yes,
            None => Answer::CannotTell,
        }
    }
}
