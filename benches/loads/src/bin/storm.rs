//! Tasks that are ready at once, a thousand at a time. `storm TASKS`

use loads::{Done, spawn};

const BATCH: u64 = 1000;

fn main() {
    let tasks = loads::size();
    loads::run(async move {
        let mut sum = 0;
        for start in (0..tasks).step_by(BATCH as usize) {
            let batch: Vec<_> = (start..tasks.min(start + BATCH))
                .map(|n| spawn(async move { n }))
                .collect();
            for task in batch {
                sum += task.await.expect("no panic");
            }
        }
        assert_eq!(sum, tasks * (tasks - 1) / 2);
        Done {
            operations: tasks,
            ..Done::default()
        }
    });
}
