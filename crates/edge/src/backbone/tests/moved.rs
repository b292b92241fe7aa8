//! Peers whose addresses change.

use super::*;

#[tokio::test]
async fn a_peer_whose_address_changes_is_still_the_same_and_its_packets_go_on() {
    let ca = ca();
    let (mut one, mut two, path) = impaired(LOOPBACK, &ca).await;
    one.up().await;
    two.up().await;
    let arrived = [0, 1].map(|_| Arc::<AtomicU64>::default());
    for (near, far, arrived) in [(&one, &two, &arrived[0]), (&two, &one, &arrived[1])] {
        let route = Route {
            track: TrackKey::of(&sluice_types::ids::TrackId::from_random([1; 10])),
            inlet: crate::media::test_inlet(),
            packets: arrived.clone(),
        };
        near.backbone.route(&far.id, RelayId(3), route);
    }
    let mut outlets = [
        one.backbone.outlet(&two.id).expect("connected"),
        two.backbone.outlet(&one.id).expect("connected"),
    ];
    for _ in 0..3 {
        path.change_ports();
        let before = path.there().delivered;
        let counts = || {
            arrived
                .each_ref()
                .map(|count| count.load(Ordering::Relaxed))
        };
        let first = counts();
        let goes_on = async {
            while counts()
                .iter()
                .zip(first)
                .any(|(now, then)| *now < then + 100)
            {
                for outlet in &mut outlets {
                    outlet.media(RelayId(3), MediaKind::Video, &[7; 1_000]);
                    outlet.flush();
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(3 * PATIENCE, goes_on)
            .await
            .expect("both ways go on");
        assert!(path.there().delivered > before);
    }
    for edge in [&mut one, &mut two] {
        while let Ok(event) = edge.events.try_recv() {
            let is_over = matches!(
                event,
                BackboneEvent::PeerUp { .. }
                    | BackboneEvent::PeerReplaced { .. }
                    | BackboneEvent::PeerDown { .. }
            );
            assert!(!is_over, "the connection is to go on: {event:?}");
        }
    }
}
