//! What repairs may cost, link by link, while the mesh runs.

use sluice_types::topology::Overhead;

use super::path::{Path, measured};
use super::*;

fn lossy() -> LinkFigures {
    LinkFigures {
        delay: Duration::from_millis(10),
        loss: LossModel::Random(0.05),
        ..LinkFigures::default()
    }
}

/// Sends packets until those sent so far are counted, with all that was sent again since.
async fn repairs(path: &mut Path) -> u64 {
    let so_far = path.sent;
    while path.count("sent_packets_total") < so_far {
        path.send(1, |_| 1_000).await;
    }
    path.count("repairs_total")
}

#[tokio::test]
async fn links_are_repaired_as_they_allow_and_a_change_counts_at_once() {
    measured(async |metrics| {
        let mut path = Path::open(lossy(), metrics).await;
        let here: RegionName = "paris".parse().expect("a region");
        let elsewhere: RegionName = "tokyo".parse().expect("a region");
        let allow = |path: &Path, region: &RegionName, percent| {
            let overhead = Overhead::percent(percent).expect("a share");
            let overheads = [(region.clone(), overhead)].into();
            path.one.backbone.set_overheads(overheads);
        };
        for _ in 0..2 {
            // Nothing is said of this region: the usual holds.
            allow(&path, &elsewhere, 0);
            let before = repairs(&mut path).await;
            let repaired = async {
                while repairs(&mut path).await < before + 20 {
                    path.send(50, |_| 1_000).await;
                }
            };
            timeout(2 * PATIENCE, repaired).await.expect("repairs");
            allow(&path, &here, 0);
            // What is asked for already may still come.
            path.send(100, |_| 1_000).await;
            let before = repairs(&mut path).await;
            path.send(500, |_| 1_000).await;
            assert_eq!(repairs(&mut path).await, before, "repairs for nothing");
        }
    })
    .await;
}
