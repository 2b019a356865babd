/**
 * What a server that speaks E2B's protocol answers in place of a success, as one of the errors of the SDK.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import {
  ConnectionError,
  RateLimitError,
  type RequestError,
  SandboxError,
  type SandboxErrorCode,
  SandboxSDKError
} from "../Errors.js"
import { orAbsent, type Peer, undecodable } from "../remote/Failures.js"
import { ConnectError, PlainError } from "./Protocol.js"

/**
 * What the errors of one request stand for, where the protocol has one word for several.
 */
export interface Meaning {
  readonly sandboxId?: string | undefined
  /** What it is that was not found. */
  readonly missing?: SandboxErrorCode | undefined
  /** What is wrong when the request itself is in order but cannot be done. */
  readonly refused?: SandboxErrorCode | undefined
}

/** When a limiter does not say when to come back. */
const DEFAULT_RETRY_AFTER = 1_000

/**
 * That the protocol has no way to do this, whatever the server.
 */
export const unsupported = (operation: string, field: string, why: string): SandboxSDKError =>
  new SandboxSDKError({ code: "unsupported", field, message: `${operation}: ${why}` })

const sandboxError = (code: SandboxErrorCode, message: string, { sandboxId }: Meaning): SandboxError =>
  new SandboxError({ code, message, ...sandboxId === undefined ? {} : { sandboxId } })

/**
 * That a sandbox is not there, or does not run.
 */
export const gone = (sandboxId: string): SandboxError =>
  new SandboxError({ code: "not_found", sandboxId, message: `There is no sandbox "${sandboxId}" that runs.` })

const saidBy = Schema.decodeOption(Schema.parseJson(PlainError))

/** An answer with this status that is not a success. */
export interface Refusal {
  readonly status: number
  readonly body: string
  readonly retryAfter: Option.Option<number>
}

/**
 * An error of the control plane, of `/files` or of the code interpreter.
 */
export const ofPlain = (peer: Peer, { body, retryAfter, status }: Refusal, meaning: Meaning): RequestError => {
  const said = Option.getOrElse(
    Option.map(saidBy(body), ({ message }) => message),
    () => `${peer.url} answered ${status}.`
  )
  switch (status) {
    case 400:
    case 409:
    case 422:
      return meaning.refused === undefined
        ? new SandboxSDKError({ code: "invalid_argument", message: said })
        : sandboxError(meaning.refused, said, meaning)
    case 401:
      return new SandboxSDKError({ code: "unauthorized", message: said })
    case 403:
      return meaning.missing === "file_not_found"
        ? sandboxError("permission_denied", said, meaning)
        : new SandboxSDKError({ code: "forbidden", message: said })
    case 404:
      return sandboxError(meaning.missing ?? "not_found", said, meaning)
    case 413:
      return sandboxError("quota_exceeded", said, meaning)
    case 429:
      return new RateLimitError({
        message: said,
        retryAfter: Option.getOrElse(retryAfter, () => DEFAULT_RETRY_AFTER)
      })
    case 501:
      return new SandboxSDKError({ code: "unsupported", message: said })
    case 502:
    case 503:
    case 504:
      return new ConnectionError({ message: said, url: peer.url, status, ...orAbsent(retryAfter) })
    case 507:
      return sandboxError("disk_full", said, meaning)
    default:
      return status >= 500 && Option.isSome(saidBy(body))
        ? sandboxError(meaning.refused ?? "outcome_unknown", said, meaning)
        : undecodable(peer, `answered ${status}.`)
  }
}

/**
 * An error of a call of the Connect protocol (https://connectrpc.com/docs/protocol#error-codes).
 */
export const ofConnect = (
  peer: Peer,
  { code, message }: typeof ConnectError.Type,
  meaning: Meaning
): RequestError => {
  const said = message === "" ? `${peer.url} answered ${code}.` : message
  switch (code) {
    case "invalid_argument":
    case "failed_precondition":
    case "out_of_range":
      return meaning.refused === undefined
        ? new SandboxSDKError({ code: "invalid_argument", message: said })
        : sandboxError(meaning.refused, said, meaning)
    case "not_found":
      return sandboxError(meaning.missing ?? "not_found", said, meaning)
    case "already_exists":
      return sandboxError("file_exists", said, meaning)
    case "permission_denied":
      return sandboxError("permission_denied", said, meaning)
    case "resource_exhausted":
      return sandboxError("quota_exceeded", said, meaning)
    case "unimplemented":
      return new SandboxSDKError({ code: "unsupported", message: said })
    case "unauthenticated":
      return new SandboxSDKError({ code: "unauthorized", message: said })
    case "unavailable":
      return sandboxError("stopped", said, meaning)
    case "canceled":
    case "aborted":
      return sandboxError("cancelled", said, meaning)
    default:
      return sandboxError(meaning.refused ?? "outcome_unknown", said, meaning)
  }
}

const connectErrorOf = Schema.decodeEither(Schema.parseJson(ConnectError))

/**
 * The same, where it is the whole answer.
 */
export const ofConnectAnswer = (peer: Peer, refusal: Refusal, meaning: Meaning): RequestError =>
  Either.match(connectErrorOf(refusal.body), {
    onLeft: () => ofPlain(peer, refusal, meaning),
    onRight: (error) => ofConnect(peer, error, meaning)
  })
