//! The dictionary of SPDY/3's header compression: names that headers often have, each with its length,
//! and text behind them. <https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1>, 2.6.10.1

const NAMES: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language \
accept-ranges age allow authorization cache-control connection content-base content-encoding content-language \
content-length content-location content-md5 content-range content-type date etag expect expires from host \
if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards \
pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding \
upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public \
set-cookie keep-alive origin";

const TEXT: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized\
403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/// The dictionary.
pub(super) fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in NAMES.split(' ') {
        let name = name.replace('_', " ");
        let length = u32::try_from(name.len()).unwrap_or_default();
        bytes.extend(length.to_be_bytes());
        bytes.extend(name.as_bytes());
    }
    bytes.extend(TEXT.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksum that each peer writes in front of its first headers.
    #[test]
    fn it_is_the_one_that_everybody_has() {
        let bytes = dictionary();
        assert_eq!(bytes.len(), 1423);
        let mut deflate = flate2::Compress::new(flate2::Compression::default(), true);
        assert_eq!(deflate.set_dictionary(&bytes).ok(), Some(0xe3c6_a7c2));
    }
}
