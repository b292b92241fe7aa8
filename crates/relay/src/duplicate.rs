//! Of two connections with one peer, the one to keep.

use sluice_types::ids::EdgeId;

/// Whether a new connection takes the place of the one that is up; `…_dialled` says whether `edge`
/// dialled it. Both ends come to the same: of two that both sides opened at once the one that the
/// smaller edge id dialled stays; a second one from the same side replaces the first, whose dialler
/// has forgotten it.
#[must_use]
pub fn replaces(edge: &EdgeId, peer: &EdgeId, before_dialled: bool, new_dialled: bool) -> bool {
    let before_by_smaller = before_dialled == (edge < peer);
    before_dialled == new_dialled || !before_by_smaller
}

/// Whether an edge's own attempt to dial a peer is given up when another connection is ready. The
/// smaller edge's goes on beside a connection that it accepted meanwhile: the other side may be about
/// to prefer it.
#[must_use]
pub fn gives_up_dialling(edge: &EdgeId, peer: &EdgeId, ready_dialled: bool) -> bool {
    ready_dialled || edge > peer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_keep_the_same_of_two() {
        let (a, b): (EdgeId, EdgeId) = ("a-1".parse().unwrap(), "b-1".parse().unwrap());
        // Whichever each of them sees first, the one that `a` dialled is left.
        assert!(!replaces(&a, &b, true, false) && replaces(&a, &b, false, true));
        assert!(replaces(&b, &a, true, false) && !replaces(&b, &a, false, true));
        assert!(replaces(&a, &b, true, true) && replaces(&b, &a, false, false));
    }
}
