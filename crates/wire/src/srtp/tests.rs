//! Sealing against the family's own SRTP as oracle.

use bytes::Bytes;
use proptest::prelude::*;
use rtc_crypto::default_provider;
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;

use super::{Profile, Role, Srtp, SrtpError, TAG_BYTES_MAX};

const PROFILES: [(Profile, ProtectionProfile); 2] = [
    (Profile::Aes128Gcm, ProtectionProfile::AeadAes128Gcm),
    (
        Profile::Aes128CmSha1,
        ProtectionProfile::Aes128CmHmacSha1_80,
    ),
];

fn keying(profile: Profile) -> Vec<u8> {
    (0..profile.keying_bytes())
        .map(|n| n as u8 ^ 0x5a)
        .collect()
}

fn ours(profile: Profile) -> Srtp {
    let provider = default_provider().expect("ring");
    Srtp::new(provider.crypto(), profile, Role::Server, &keying(profile)).expect("good keys")
}

/// The client's contexts: what it sends, what it receives.
fn theirs(profile: Profile, family: ProtectionProfile) -> (Context, Context) {
    let provider = default_provider().expect("ring");
    let keying = keying(profile);
    let (keys, salts) = keying.split_at(32);
    let (client, server) = salts.split_at(profile.salt_bytes());
    let context = |key, salt| {
        Context::new(key, salt, family, None, None, provider.crypto()).expect("good keys")
    };
    (context(&keys[..16], client), context(&keys[16..], server))
}

fn packet(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x90, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 1, 0, 0, 0, 0, 7]);
    packet.extend([0xbe, 0xde, 0, 1, 0x10, 0x42, 0, 0]);
    packet.extend(payload);
    packet
}

fn sealed(srtp: &mut Srtp, index: u64, payload: &[u8]) -> Vec<u8> {
    let mut buffer = packet(index as u16, payload);
    let length = buffer.len();
    buffer.resize(length + TAG_BYTES_MAX, 0);
    let sealed = srtp
        .sealer
        .seal(&mut buffer, 20, length, 7, index)
        .expect("seals");
    buffer.truncate(sealed);
    buffer
}

proptest! {
    #[test]
    fn what_we_seal_they_open(payload in proptest::collection::vec(any::<u8>(), 0..1_200), start in 60_000u64..65_000) {
        for (profile, family) in PROFILES {
            let (mut srtp, (_, mut receiver)) = (ours(profile), theirs(profile, family));
            // Far enough for the rollover counter to count.
            for index in (start..start + 12_000).step_by(4_000) {
                let plain = receiver.decrypt_rtp(&sealed(&mut srtp, index, &payload)).expect("opens");
                prop_assert_eq!(&plain[..], &packet(index as u16, &payload)[..]);
            }
        }
    }

    #[test]
    fn what_they_seal_we_open_once(payload in proptest::collection::vec(any::<u8>(), 0..1_200), start in 20_000u16..30_000) {
        for (profile, family) in PROFILES {
            let (mut srtp, (mut sender, _)) = (ours(profile), theirs(profile, family));
            for step in 0..6u16 {
                let plain = packet(start.wrapping_add(step * 10_000), &payload);
                let mut sealed = sender.encrypt_rtp(&plain).expect("seals").to_vec();
                let again = sealed.clone();
                let length = srtp.opener.open(&mut sealed).expect("opens");
                prop_assert_eq!(&sealed[..length], &plain[..]);
                prop_assert!(matches!(srtp.opener.open(&mut again.clone()), Err(SrtpError::Replayed)));
            }
        }
    }
}

#[test]
fn a_forged_packet_is_refused_and_changes_nothing() {
    for (profile, family) in PROFILES {
        let (mut srtp, (mut sender, _)) = (ours(profile), theirs(profile, family));
        let good = sender
            .encrypt_rtp(&packet(5, b"payload"))
            .expect("seals")
            .to_vec();
        for at in [1, 3, 21, good.len() - 1] {
            let mut forged = good.clone();
            forged[at] ^= 1;
            assert!(
                matches!(srtp.opener.open(&mut forged), Err(SrtpError::Forged)),
                "byte {at}"
            );
        }
        assert!(srtp.opener.open(&mut good.clone()).is_ok());
        assert!(matches!(
            srtp.opener.open(&mut [0x80; 20]),
            Err(SrtpError::Short)
        ));
    }
}

#[test]
fn control_goes_both_ways() {
    let report = Bytes::from_static(&[0x80, 201, 0, 1, 0, 0, 0, 9]);
    for (profile, family) in PROFILES {
        let (mut srtp, (mut sender, mut receiver)) = (ours(profile), theirs(profile, family));
        let sealed = sender.encrypt_rtcp(&report).expect("seals");
        assert_eq!(srtp.open_control(&sealed).expect("opens")[..], report[..]);
        assert!(srtp.open_control(&sealed).is_err(), "replayed");
        let sealed = srtp.seal_control(&report).expect("seals");
        assert_eq!(
            receiver.decrypt_rtcp(&sealed).expect("opens")[..],
            report[..]
        );
    }
}
