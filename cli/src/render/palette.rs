//! One hue per state and kind, the same in every picture and table; chosen to stay apart for colour-blind eyes.
//!
//! Based on the palettes of Okabe & Ito and Paul Tol ("muted"). State frames carry the colour itself; the frames above
//! them a pale tint of what dominates below.

use asyncprof_core::view::{Activity, Kind, Shares};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Color(pub(crate) u8, pub(crate) u8, pub(crate) u8);

impl Color {
    pub(crate) fn css(self) -> String {
        format!("rgb({},{},{})", self.0, self.1, self.2)
    }

    /// Whether black text on it would be hard to read.
    pub(crate) fn is_dark(self) -> bool {
        299 * u32::from(self.0) + 587 * u32::from(self.1) + 114 * u32::from(self.2) < 118_000
    }

    /// Mixed with white: 0 is the colour, 1 is white.
    pub(crate) fn tinted(self, white: f64) -> Color {
        let mix = |channel: u8| (f64::from(channel) + (255.0 - f64::from(channel)) * white).round() as u8;
        Color(mix(self.0), mix(self.1), mix(self.2))
    }
}

const NEUTRAL: Color = Color(228, 228, 224);

pub(crate) fn of_activity(activity: Activity) -> Color {
    match activity {
        Activity::OnCpu => Color(213, 94, 0),
        Activity::Blocked => Color(136, 34, 17),
        Activity::Running => Color(243, 160, 90),
        Activity::Scheduled => Color(240, 200, 40),
        Activity::Waiting(Kind::Io) => Color(50, 140, 205),
        Activity::Waiting(Kind::Timer) => Color(165, 170, 178),
        Activity::Waiting(Kind::Lock) => Color(190, 60, 95),
        Activity::Waiting(Kind::Channel) => Color(0, 158, 115),
        Activity::Waiting(Kind::Join) => Color(136, 204, 238),
        Activity::Waiting(Kind::Blocking) => Color(150, 110, 200),
        Activity::Waiting(Kind::Notify) => Color(153, 153, 51),
        Activity::Waiting(Kind::Yield) => Color(221, 160, 140),
        Activity::Waiting(Kind::Other) => Color(120, 110, 100),
        Activity::Lost => Color(70, 70, 70),
    }
}

/// For a frame above the state frames.
pub(crate) fn of_shares(shares: &Shares) -> Color {
    match shares.dominant() {
        Some((activity, share)) if share > 0.5 => {
            // From pale at one half to less pale where only this activity is below.
            of_activity(activity).tinted(0.86 - (share - 0.5) * 0.40)
        }
        _ => NEUTRAL,
    }
}

/// The nearest of the terminal's 256 colours.
pub(crate) fn ansi(activity: Activity) -> u8 {
    let Color(r, g, b) = of_activity(activity);
    let level = |channel: u8| (u16::from(channel) * 5 + 127) / 255;
    (16 + 36 * level(r) + 6 * level(g) + level(b)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_differ() {
        for (index, &a) in Activity::ALL.iter().enumerate() {
            for &b in &Activity::ALL[index + 1..] {
                let (Color(r, g, b1), Color(r2, g2, b2)) = (of_activity(a), of_activity(b));
                let distance = r.abs_diff(r2) as u32 + g.abs_diff(g2) as u32 + b1.abs_diff(b2) as u32;
                assert!(distance > 60, "{a:?} {b:?}");
            }
        }
    }
}
