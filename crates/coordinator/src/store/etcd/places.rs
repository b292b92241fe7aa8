//! Places of meetings that coordinators have reserved: a key each, which only its own coordinator writes
//! and which ends some time after it.

use etcd_client::{Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp};
use sluice_types::ids::MeetingId;

use super::super::{PlacesWanted, StoreError};
use super::{EtcdStore, number};

/// How long a reservation is kept at least, in seconds: longer than somebody who was let in may take to
/// come.
pub(super) const KEPT_S: i64 = 75;

/// How often a reservation is tried anew because another coordinator was faster.
const ATTEMPTS: usize = 20;

impl EtcdStore {
    pub(super) async fn put_places(
        &self,
        room: &MeetingId,
        asked: PlacesWanted,
    ) -> Result<u32, StoreError> {
        let all = self.keys.places(room);
        let own = format!("{all}{}", self.own);
        for _ in 0..ATTEMPTS {
            let mut wanted = asked.wanted.min(asked.free);
            let mut when = Vec::new();
            if wanted > 0 {
                let found = self.get_prefix(&all).await?;
                let others = found
                    .kvs()
                    .iter()
                    .filter(|pair| pair.key() != own.as_bytes());
                let reserved = others.filter_map(number).sum::<u64>();
                let reserved = u32::try_from(reserved).unwrap_or(u32::MAX);
                wanted = wanted.min(asked.free.saturating_sub(reserved));
                // Nobody has reserved anything since. Less than was seen is no harm.
                let seen = found.header().map_or(0, |header| header.revision());
                let unchanged = Compare::mod_revision(&*all, CompareOp::Less, seen + 1);
                when.push(unchanged.with_prefix());
            }
            let op = match asked.held + wanted {
                0 => TxnOp::delete(&*own, None),
                reserved => {
                    let lease = self.places_lease.current(&self.members).await?;
                    let options = PutOptions::new().with_lease(lease);
                    TxnOp::put(&*own, reserved.to_string(), Some(options))
                }
            };
            if self
                .txn(Txn::new().when(when).and_then([op]))
                .await?
                .succeeded()
            {
                return Ok(wanted);
            }
        }
        Err(StoreError::Conflict)
    }

    async fn get_prefix(&self, prefix: &str) -> Result<etcd_client::GetResponse, StoreError> {
        self.members
            .call(|mut client| {
                let prefix = prefix.to_owned();
                async move {
                    let options = GetOptions::new().with_prefix();
                    client.get(prefix, Some(options)).await
                }
            })
            .await
    }
}
