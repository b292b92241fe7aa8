//! Plans and their epochs, written only by whoever leads at that moment.

use etcd_client::{Compare, CompareOp, KeyValue, Txn, TxnOp};
use sluice_types::ids::{Epoch, MeetingId, Term};
use sluice_types::mesh::control::{RelayTree, RoomPlan};

use super::super::StoreError;
use super::session::Lead;
use super::{BATCH, EtcdStore, changes, gets, number};
use crate::store::etcd::keys::Kind;

/// How often a batch is read and written anew when answers are lost.
const ATTEMPTS: usize = 5;

impl EtcdStore {
    pub(super) async fn put_plans(
        &self,
        term: Term,
        plans: &[(MeetingId, &[RelayTree])],
    ) -> Result<Vec<Epoch>, StoreError> {
        let lead = *self.lead.borrow();
        let lead = lead
            .filter(|lead| lead.term == term)
            .ok_or(StoreError::Deposed(term))?;
        let mut epochs = Vec::with_capacity(plans.len());
        for batch in plans.chunks(BATCH) {
            epochs.extend(self.put_batch(&lead, batch).await?);
        }
        Ok(epochs)
    }

    async fn put_batch(
        &self,
        lead: &Lead,
        batch: &[(MeetingId, &[RelayTree])],
    ) -> Result<Vec<Epoch>, StoreError> {
        let leader = self.keys.leader();
        for _ in 0..ATTEMPTS {
            let keys = batch
                .iter()
                .map(|(room, _)| self.keys.epoch(room))
                .collect();
            let last = self.get_all(keys).await?;
            let held = Compare::create_revision(&*leader, CompareOp::Equal, lead.revision);
            let (mut when, mut ops) = (vec![held], Vec::new());
            let mut epochs = Vec::with_capacity(batch.len());
            for ((room, trees), last) in batch.iter().zip(&last) {
                let epoch = Epoch(last.as_ref().and_then(number).unwrap_or_default()).next();
                epochs.push(epoch);
                let revision = last.as_ref().map_or(0, KeyValue::mod_revision);
                let key = self.keys.epoch(room);
                when.push(Compare::mod_revision(&*key, CompareOp::Equal, revision));
                ops.push(TxnOp::put(key, epoch.to_string(), None));
                ops.push(self.plan_op(room, epoch, trees)?);
            }
            let txn = Txn::new()
                .when(when)
                .and_then(ops)
                .or_else([TxnOp::get(&*leader, None)]);
            let done = self.txn(txn).await?;
            if done.succeeded() {
                return Ok(epochs);
            }
            let holder = gets(&done).pop().flatten();
            if holder.is_none_or(|holder| holder.create_revision() != lead.revision) {
                return Err(StoreError::Deposed(lead.term));
            }
            // It was written, and the answer was lost: those epochs are given and never told.
        }
        Err(StoreError::Conflict)
    }

    fn plan_op(
        &self,
        room: &MeetingId,
        epoch: Epoch,
        trees: &[RelayTree],
    ) -> Result<TxnOp, StoreError> {
        let key = self.keys.plan(room);
        if trees.is_empty() {
            return Ok(TxnOp::delete(key, None));
        }
        let plan = RoomPlan {
            room: room.clone(),
            epoch,
            trees: trees.to_vec(),
        };
        Ok(TxnOp::put(key, serde_json::to_vec(&plan)?, None))
    }

    pub(super) async fn all_plans(&self) -> Result<Vec<RoomPlan>, StoreError> {
        let found = self.scan(&self.keys.plans()).await?;
        let plans = found.iter().filter_map(|pair| {
            let Kind::Plan(room) = self.keys.kind(pair.key()) else {
                return None;
            };
            changes::plan(room, pair.value())
        });
        Ok(plans.collect())
    }
}
