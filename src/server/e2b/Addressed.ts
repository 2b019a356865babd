/**
 * Which sandbox a request beyond the control plane is for.
 */
import type * as Headers from "@effect/platform/Headers"

/** The ports by whose names E2B's clients call envd and the code interpreter, in `PORT-SANDBOX.DOMAIN`. */
const HOST = /^(?:49983|49999)-([^.:]+)[.:]/

/**
 * The id of the sandbox: `E2b-Sandbox-Id` says it, and where a client goes by names of hosts alone, its host.
 */
export const sandboxOf = (headers: Headers.Headers): string | undefined =>
  headers["e2b-sandbox-id"] ?? HOST.exec(headers["host"] ?? "")?.[1]
