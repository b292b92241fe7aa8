//! Meetings, in the order in which a tenant lists them.

use etcd_client::{Compare, CompareOp, GetOptions, Txn, TxnOp};
use sluice_types::ids::MeetingId;

use super::super::{Page, StoreError, StoredMeeting};
use super::EtcdStore;

impl EtcdStore {
    pub(super) async fn create(&self, meeting: &StoredMeeting) -> Result<(), StoreError> {
        let key = self.keys.meeting(&meeting.id);
        let value = serde_json::to_vec(meeting)?;
        let mut ops = vec![
            TxnOp::put(key.clone(), value.clone(), None),
            TxnOp::put(self.keys.place(meeting), "", None),
        ];
        if !meeting.ended {
            ops.push(TxnOp::put(self.keys.open(meeting), "", None));
        }
        let txn = Txn::new()
            .when([Compare::create_revision(&*key, CompareOp::Equal, 0)])
            .and_then(ops)
            .or_else([TxnOp::get(&*key, None)]);
        self.settle(txn, &value).await
    }

    pub(super) async fn replace(
        &self,
        before: &StoredMeeting,
        after: &StoredMeeting,
    ) -> Result<(), StoreError> {
        let key = self.keys.meeting(&before.id);
        let (old, new) = (serde_json::to_vec(before)?, serde_json::to_vec(after)?);
        let open = self.keys.open(after);
        let open = if after.ended {
            TxnOp::delete(open, None)
        } else {
            TxnOp::put(open, "", None)
        };
        let txn = Txn::new()
            .when([Compare::value(&*key, CompareOp::Equal, old)])
            .and_then([TxnOp::put(&*key, new.clone(), None), open])
            .or_else([TxnOp::get(&*key, None)]);
        self.settle(txn, &new).await
    }

    pub(super) async fn page(
        &self,
        tenant: &str,
        after: Option<(u64, MeetingId)>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let prefix = self.keys.of_tenant(tenant);
        let from = after.map_or_else(
            || prefix.clone().into_bytes(),
            |(created, id)| {
                let mut last = self.keys.by_age(tenant, created, id.as_str()).into_bytes();
                last.push(0);
                last
            },
        );
        let mut places = self.scan_from(&prefix, from, limit + 1).await?;
        let more = places.len() > limit;
        places.truncate(limit);
        let ids = places.iter().filter_map(|place| {
            let (_, id) = place.key_str().ok()?.rsplit_once('/')?;
            id.parse().ok()
        });
        let keys = ids.map(|id| self.keys.meeting(&id)).collect();
        let found = self.get_all(keys).await?.into_iter().flatten();
        let meetings: Result<_, _> = found
            .map(|pair| serde_json::from_slice(pair.value()))
            .collect();
        Ok(Page {
            meetings: meetings?,
            more,
        })
    }

    pub(super) async fn count(&self, prefix: &str) -> Result<usize, StoreError> {
        let found = self
            .members
            .call(|mut client| async move {
                let count = GetOptions::new().with_prefix().with_count_only();
                client.get(prefix, Some(count)).await
            })
            .await?;
        Ok(usize::try_from(found.count()).unwrap_or_default())
    }
}
