/**
 * Tokens for the ports of sandboxes. Nothing is kept of them: each is computed from whose it is, which port it is for, and
 * the token that the layer underneath has for that port at the time. So it ends when that one does (`closePort`, the end of
 * the sandbox), when the API key is revoked by which it was asked for, and with the server.
 */
import { createHmac, randomBytes } from "node:crypto"
import type { PortAddress } from "../Port.js"
import { isSame, urlSafe } from "../ports/Access.js"

/**
 * Tokens.
 */
export interface PortTokens {
  readonly make: (keyId: string, address: PortAddress) => string
  /** The id of the API key by which a token was made, if it is one. */
  readonly keyOf: (token: string) => string | undefined
  readonly verify: (token: string, keyId: string, address: PortAddress) => boolean
}

const MAC_BYTES = 20

/**
 * Makes them, with a secret of its own.
 */
export const make = (): PortTokens => {
  const secret = randomBytes(32)
  const makeToken: PortTokens["make"] = (keyId, { port, sandboxId, token }) => {
    const mac = createHmac("sha256", secret).update(JSON.stringify([keyId, sandboxId, port, token])).digest()
    return `${urlSafe(mac.subarray(0, MAC_BYTES))}.${keyId}`
  }
  return {
    make: makeToken,
    keyOf: (token) => /^[^.]+\.(.+)$/.exec(token)?.[1],
    verify: (token, keyId, address) => isSame(makeToken(keyId, address), token)
  }
}
