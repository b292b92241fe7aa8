//! Session descriptions of a client that only signals.

/// What a browser offers for a microphone and a camera, shortened.
pub(crate) const OFFER: &str = "v=0\r\n\
o=- 4611731400430051336 2 IN IP4 127.0.0.1\r\n\
s=-\r\n\
t=0 0\r\n\
a=group:BUNDLE 0 1\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
c=IN IP4 0.0.0.0\r\n\
a=ice-ufrag:4ZcD\r\n\
a=ice-pwd:2/1muCWoOi3uLifh0NuRHlRC\r\n\
a=fingerprint:sha-256 49:66:12:17:0D:1C:91:AE:57:4C:C6:36:DD:D5:97:D2:7D:62:C9:9A:7F:B9:A3:F4:70:03:E7:43:91:73:23:5E\r\n\
a=setup:actpass\r\n\
a=mid:0\r\n\
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
a=sendrecv\r\n\
a=rtcp-mux\r\n\
a=rtpmap:111 opus/48000/2\r\n\
a=ssrc:1409 cname:k\r\n\
m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n\
c=IN IP4 0.0.0.0\r\n\
a=ice-ufrag:4ZcD\r\n\
a=ice-pwd:2/1muCWoOi3uLifh0NuRHlRC\r\n\
a=fingerprint:sha-256 49:66:12:17:0D:1C:91:AE:57:4C:C6:36:DD:D5:97:D2:7D:62:C9:9A:7F:B9:A3:F4:70:03:E7:43:91:73:23:5E\r\n\
a=setup:actpass\r\n\
a=mid:1\r\n\
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
a=sendrecv\r\n\
a=rtcp-mux\r\n\
a=rtpmap:96 VP8/90000\r\n\
a=rtcp-fb:96 nack\r\n\
a=rtcp-fb:96 nack pli\r\n\
a=rtpmap:97 rtx/90000\r\n\
a=fmtp:97 apt=96\r\n\
a=ssrc-group:FID 2231 3313\r\n\
a=ssrc:2231 cname:k\r\n\
a=ssrc:3313 cname:k\r\n";

/// Accepts everything that the edge offers, with the transport of [`OFFER`].
pub(crate) fn answer(offer: &str) -> String {
    let own = |name: &str| {
        OFFER
            .lines()
            .find(|line| line.starts_with(name))
            .expect("in the offer")
    };
    let mut answer = String::new();
    for line in offer.lines() {
        let line = match line {
            "a=sendonly" => "a=recvonly",
            "a=recvonly" => "a=sendonly",
            _ if line.starts_with("a=ice-ufrag:") => own("a=ice-ufrag:"),
            _ if line.starts_with("a=ice-pwd:") => own("a=ice-pwd:"),
            _ if line.starts_with("a=fingerprint:") => own("a=fingerprint:"),
            _ if line.starts_with("a=setup:") => "a=setup:active",
            _ if [
                "a=candidate:",
                "a=end-of-candidates",
                "a=ice-lite",
                "a=ssrc",
                "a=msid:",
            ]
            .iter()
            .any(|prefix| line.starts_with(prefix)) =>
            {
                continue;
            }
            line => line,
        };
        answer.push_str(line);
        answer.push_str("\r\n");
    }
    answer
}
