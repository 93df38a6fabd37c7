//! Student's t distribution, and which of many p-values are remarkable.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// From here on t is normal for all that matters here.
const MAX_DOF: f64 = 1e6;

fn student(dof: f64) -> StudentsT {
    let dof = if dof.is_finite() {
        dof.clamp(1.0, MAX_DOF)
    } else {
        MAX_DOF
    };
    StudentsT::new(0.0, 1.0, dof).expect("the degrees of freedom are positive")
}

/// The chance of a value at least that far from 0, on either side.
pub(super) fn two_sided_p(t: f64, dof: f64) -> f64 {
    (2.0 * student(dof).sf(t.abs())).min(1.0)
}

/// The value that is not exceeded with this probability.
pub(super) fn t_quantile(probability: f64, dof: f64) -> f64 {
    student(dof).inverse_cdf(probability)
}

/// Benjamini and Hochberg: for each p-value the smallest share of false discoveries at which it is one.
pub(super) fn q_values(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[b].total_cmp(&p_values[a]));
    let count = p_values.len() as f64;
    let mut q_values = vec![1.0; p_values.len()];
    let mut least: f64 = 1.0;
    for (before, &index) in order.iter().enumerate() {
        let rank = count - before as f64;
        least = least.min(p_values[index] * count / rank);
        q_values[index] = least;
    }
    q_values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures of the usual printed tables.
    #[test]
    fn t_is_that_of_the_tables() {
        for (dof, quantile) in [
            (1.0, 12.706),
            (2.0, 4.303),
            (10.0, 2.228),
            (30.0, 2.042),
            (1e9, 1.960),
        ] {
            assert!((t_quantile(0.975, dof) - quantile).abs() < 0.0006, "{dof}");
            assert!((two_sided_p(quantile, dof) - 0.05).abs() < 0.0001, "{dof}");
            assert!((two_sided_p(-quantile, dof) - 0.05).abs() < 0.0001, "{dof}");
        }
        assert_eq!(two_sided_p(0.0, 5.0), 1.0);
        assert!(two_sided_p(40.0, 1000.0) < 1e-100);
    }

    /// The example of Benjamini and Hochberg (1995), section 3.2: four of fifteen at 0.05.
    #[test]
    fn the_authors_own_example() {
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
            0.6528, 0.7590, 1.0,
        ];
        let q = q_values(&p);
        assert_eq!(q.iter().filter(|q| **q <= 0.05).count(), 4);
        assert!(q.is_sorted());
        assert!(q.iter().zip(p).all(|(q, p)| (p..=1.0).contains(q)));
        assert_eq!(q_values(&[]), [0.0; 0]);
    }
}
