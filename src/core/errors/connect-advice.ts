const untrusted =
  /^(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(_LOCALLY)?|CERT_HAS_EXPIRED|ERR_TLS_CERT_ALTNAME_INVALID)$/;

/** What to look at where no connection can be made, by what the driver or the server says. */
export function connectAdvice(code: string | undefined, message: string): string {
  if (code !== undefined && untrusted.test(code)) {
    return 'the certificate is not trusted, and sslmode=require verifies it in full: give its authority with sslrootcert=FILE, or turn verification off with sslmode=no-verify';
  }
  if (/does not support SSL/i.test(message)) {
    return 'the server has no TLS: set it up there, or use sslmode=disable if the network is trusted';
  }
  if (/no encryption|(SSL|TLS)( connection)?( is)? required/i.test(message)) {
    return 'the server wants TLS: add sslmode=require to the URL';
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'check the host name';
  if (code === 'ECONNREFUSED')
    return 'nothing is listening there: check host and port, and that the server is running';
  if (/statement pooling mode/i.test(message)) {
    return 'the pooler is in statement mode: set pool_mode = transaction';
  }
  return 'check DATABASE_URL or the knexfile';
}
