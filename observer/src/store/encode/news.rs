//! The rows of what is told while a run goes on: findings that are provisional, and markers.

use super::Encoder;
use crate::observation::{Flow, Found};
use crate::source::{Marker, MarkerKind};
use crate::store::rows::{Cell, Known, Rows, Table};

impl Encoder {
    /// The row of a marker.
    pub(in crate::store) fn marker(&self, rows: &mut Rows, marker: &Marker) {
        let result = match marker.kind {
            MarkerKind::End(result) => Some(result.as_str()),
            _ => None,
        };
        rows.signed(self.run)
            .signed(marker.at.0)
            .text(Some(marker.label.as_str()))
            .word(marker.kind.as_str())
            .word(marker.origin.as_str())
            .word(result)
            .end(Table::Markers);
    }

    /// The row of a finding that is provisional, made by `flow`, whose rows were written before.
    pub(in crate::store) fn found(
        &mut self,
        rows: &mut Rows,
        flow: &Flow,
        found: &Found,
    ) -> serde_json::Result<()> {
        let owner = flow.owner.as_ref().map(|owner| self.owner(rows, owner)).transpose()?;
        rows.null()
            .signed(self.run)
            .int(found.number)
            .word(found.rule)
            .word(found.severity)
            .word(found.confidence)
            .json(Some(found.requirements))?
            .cell(owner.map_or(Cell::Null, |number| Cell::Known(Known::Owner, number)))
            .text(found.host.as_deref())
            .address(found.far_end.ip)
            .int(u64::from(found.far_end.port))
            .text(found.message.as_str())
            .json(Some(&found.details))?
            .text(found.fingerprint.as_str())
            .cell(Cell::Flow(flow.id))
            .json(Some(&found.frames))?
            .end(Table::ProvisionalFindings);
        Ok(())
    }
}
