/// The close code of a connection that has done its work (RFC 6455): what `close: true` means.
pub const NORMAL_CLOSURE: u16 = 1000;

/// The close code of a connection that broke without one (RFC 6455). Never sent to a client.
pub const ABNORMAL_CLOSURE: u16 = 1006;

/// Whether RFC 6455 and its registry let an endpoint send the close code `code`.
///
/// 1005, 1006 and 1015 stand for what was never sent; codes below 3000 that are not listed are
/// reserved.
#[must_use]
pub const fn is_valid_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
