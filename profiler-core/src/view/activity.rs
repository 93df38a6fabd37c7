//! What a task is doing, as pictures and tables name it: a state, and for waits the kind.

use super::kind::Kind;

/// One colour, one legend entry, one last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Activity {
    /// Being polled, on the CPU.
    OnCpu,
    /// Being polled, its thread off the CPU.
    Blocked,
    /// Being polled, not known in which of these ways.
    Running,
    Scheduled,
    Waiting(Kind),
    /// Events were lost: not known.
    Lost,
}

impl Activity {
    /// In the order of legends and tables.
    pub const ALL: [Activity; 14] = [
        Activity::OnCpu,
        Activity::Blocked,
        Activity::Running,
        Activity::Scheduled,
        Activity::Waiting(Kind::Io),
        Activity::Waiting(Kind::Timer),
        Activity::Waiting(Kind::Lock),
        Activity::Waiting(Kind::Channel),
        Activity::Waiting(Kind::Join),
        Activity::Waiting(Kind::Blocking),
        Activity::Waiting(Kind::Notify),
        Activity::Waiting(Kind::Yield),
        Activity::Waiting(Kind::Other),
        Activity::Lost,
    ];

    /// The position in [`Activity::ALL`].
    pub fn index(self) -> usize {
        match self {
            Activity::OnCpu => 0,
            Activity::Blocked => 1,
            Activity::Running => 2,
            Activity::Scheduled => 3,
            Activity::Waiting(kind) => 4 + kind as usize,
            Activity::Lost => 13,
        }
    }

    /// Running, in whatever way.
    pub fn is_running(self) -> bool {
        matches!(self, Activity::OnCpu | Activity::Blocked | Activity::Running)
    }

    pub fn name(self) -> &'static str {
        match self {
            Activity::OnCpu => "on-cpu",
            Activity::Blocked => "blocked",
            Activity::Running => "running",
            Activity::Scheduled => "scheduled",
            Activity::Waiting(kind) => kind.name(),
            Activity::Lost => "lost",
        }
    }
}

/// Time per activity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares([u64; Activity::ALL.len()]);

impl Shares {
    pub fn add(&mut self, activity: Activity, ns: u64) {
        let total = &mut self.0[activity.index()];
        *total = total.saturating_add(ns);
    }

    pub fn merge(&mut self, other: &Shares) {
        for (total, ns) in self.0.iter_mut().zip(other.0) {
            *total = total.saturating_add(ns);
        }
    }

    pub fn of(&self, activity: Activity) -> u64 {
        self.0[activity.index()]
    }

    pub fn total_ns(&self) -> u64 {
        self.0.iter().fold(0, |sum, &ns| sum.saturating_add(ns))
    }

    /// Running, in whatever way.
    pub fn running_ns(&self) -> u64 {
        [Activity::OnCpu, Activity::Blocked, Activity::Running]
            .iter()
            .fold(0, |sum, &activity| sum.saturating_add(self.of(activity)))
    }

    pub fn waiting_ns(&self) -> u64 {
        Kind::ALL.iter().fold(0, |sum, &kind| {
            sum.saturating_add(self.of(Activity::Waiting(kind)))
        })
    }

    /// Those that occurred, in the order of [`Activity::ALL`].
    pub fn present(&self) -> impl Iterator<Item = (Activity, u64)> + '_ {
        Activity::ALL
            .into_iter()
            .map(|activity| (activity, self.of(activity)))
            .filter(|&(_, ns)| ns > 0)
    }

    /// The activity with the most time and its share of the total, 0 to 1; none if empty.
    pub fn dominant(&self) -> Option<(Activity, f64)> {
        let (activity, ns) = self
            .present()
            .max_by_key(|&(activity, ns)| (ns, std::cmp::Reverse(activity)))?;
        Some((activity, ns as f64 / self.total_ns() as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_follow_the_list() {
        for (index, activity) in Activity::ALL.into_iter().enumerate() {
            assert_eq!(activity.index(), index, "{activity:?}");
        }
    }
}
