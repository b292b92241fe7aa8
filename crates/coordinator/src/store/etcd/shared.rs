//! What coordinators share besides meetings and plans: signing keys, the topology, and who waits.

use etcd_client::{Compare, CompareOp, KeyValue, PutOptions, Txn, TxnOp};

use super::super::{StoreError, StoredTopology, StoredWaiting, TOPOLOGIES_MAX};
use super::{EtcdStore, gets};

impl EtcdStore {
    pub(super) async fn make_signing_key(
        &self,
        make: &dyn Fn() -> Vec<u8>,
    ) -> Result<Vec<u8>, StoreError> {
        let key = self.keys.signing_key();
        if let Some(known) = self.get(&key).await? {
            return Ok(known.value().to_vec());
        }
        let made = make();
        let txn = Txn::new()
            .when([Compare::create_revision(&*key, CompareOp::Equal, 0)])
            .and_then([TxnOp::put(&*key, made.clone(), None)])
            .or_else([TxnOp::get(&*key, None)]);
        let done = self.txn(txn).await?;
        let known = gets(&done).pop().flatten();
        Ok(known.map_or(made, |known| known.value().to_vec()))
    }

    pub(super) async fn rotate(&self, key: &[u8]) -> Result<(), StoreError> {
        let (now, before) = (self.keys.signing_key(), self.keys.signing_key_before());
        let until_now = self.get(&now).await?;
        let revision = until_now.as_ref().map_or(0, KeyValue::mod_revision);
        let mut ops = vec![TxnOp::put(&*now, key, None)];
        if let Some(until_now) = until_now {
            ops.push(TxnOp::put(before, until_now.value(), None));
        }
        let txn = Txn::new()
            .when([Compare::mod_revision(&*now, CompareOp::Equal, revision)])
            .and_then(ops)
            .or_else([TxnOp::get(&*now, None)]);
        self.settle(txn, key).await
    }

    pub(super) async fn put_topology(&self, topology: &StoredTopology) -> Result<(), StoreError> {
        let key = self.keys.topology(topology.version);
        let value = serde_json::to_vec(topology)?;
        let mut when = vec![Compare::create_revision(&*key, CompareOp::Equal, 0)];
        when.push(match topology.version.checked_sub(1) {
            None => return Err(StoreError::Conflict),
            Some(0) => {
                Compare::create_revision(self.keys.topologies(), CompareOp::Equal, 0).with_prefix()
            }
            Some(before) => {
                Compare::create_revision(self.keys.topology(before), CompareOp::Greater, 0)
            }
        });
        let mut ops = vec![TxnOp::put(&*key, value.clone(), None)];
        if let Some(old) = topology.version.checked_sub(TOPOLOGIES_MAX as u64) {
            ops.push(TxnOp::delete(self.keys.topology(old), None));
        }
        let txn = Txn::new()
            .when(when)
            .and_then(ops)
            .or_else([TxnOp::get(&*key, None)]);
        self.settle(txn, &value).await
    }

    pub(super) async fn put_waiting(&self, waiting: &StoredWaiting) -> Result<(), StoreError> {
        let value = serde_json::to_vec(waiting)?;
        let key = self.keys.waiting(&waiting.meeting, &waiting.participant);
        let lease = self.waiting_lease.current(&self.members).await?;
        let put = self.members.call(|mut client| {
            let (key, value) = (key.clone(), value.clone());
            let options = PutOptions::new().with_lease(lease);
            async move { client.put(key, value, Some(options)).await }
        });
        put.await.map(drop)
    }
}
