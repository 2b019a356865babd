/**
 * What bubblewrap's complaints mean, and what helps.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { SandboxError } from "../Errors.js"

/**
 * Why sandboxes cannot start on this host, and the one thing to do about it.
 */
export interface Diagnosis {
  readonly reason: string
  readonly fix: string
}

const DOCKER = "start the container with: --security-opt seccomp=unconfined --security-opt systempaths=unconfined"

const APPARMOR =
  "printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile bwrap /usr/bin/bwrap flags=(unconfined) {\\n" +
  "  userns,\\n}\\n' | sudo tee /etc/apparmor.d/bwrap && sudo apparmor_parser -r /etc/apparmor.d/bwrap"

/**
 * This host cannot isolate: why, and the one thing to do about it.
 */
export class Unavailable extends Data.TaggedError("Unavailable")<Diagnosis> {
  /** The same for a user of the SDK. */
  toSandboxError(sandboxId?: string): SandboxError {
    return new SandboxError({
      code: "isolation_unavailable",
      message: `${this.reason}. To help: ${this.fix}`,
      ...(sandboxId === undefined ? {} : { sandboxId })
    })
  }
}

/** In the order in which they are tried: the first that fits is the answer. */
const KNOWN: ReadonlyArray<{ readonly pattern: RegExp } & Diagnosis> = [
  {
    pattern: /setting up uid map: Permission denied|loopback: Failed RTM_NEWADDR: Operation not permitted/,
    reason: "AppArmor keeps bubblewrap from using user namespaces, as Ubuntu does from 23.10 on",
    fix: APPARMOR
  },
  {
    pattern: /max_\w+_namespaces exceeded|ENOSPC|No space left on device/,
    reason: "The kernel is set to allow no more user namespaces (user.max_user_namespaces)",
    fix: "sudo sysctl -w user.max_user_namespaces=15000"
  },
  {
    pattern: /[Cc]an't mount proc on/,
    reason: "This container hides parts of /proc, so that no new /proc may be mounted in it",
    fix: DOCKER
  },
  {
    pattern: /pivot_root|Failed to make \/ slave|[Ff]ailed to mount|Mounting/,
    reason: "The container that this runs in does not allow mounts",
    fix: DOCKER
  },
  {
    pattern: /No permissions to create|[Cc]reating new namespace failed: (Operation not permitted|Permission denied)/,
    reason: "This user may not make user namespaces: the kernel is set so, or a container forbids it",
    fix: `on a machine: sudo sysctl -w kernel.unprivileged_userns_clone=1; in Docker: ${DOCKER}`
  },
  {
    pattern: /[Cc]reating new namespace failed: (Resource temporarily unavailable|Cannot allocate memory)/,
    reason: "This user has as many processes as it may have",
    fix: "raise the limit of processes for this user (ulimit -u)"
  },
  {
    pattern: /[Uu]nknown option/,
    reason: "This bubblewrap is too old: version 0.8.0 is needed",
    fix: "install bubblewrap 0.8.0 or newer"
  },
  {
    pattern: /PR_SET_SECCOMP|seccomp/,
    reason: "This kernel does not take a filter of system calls",
    fix: "use a kernel with CONFIG_SECCOMP_FILTER"
  },
  {
    pattern: /disable.*userns|userns.*disable|user namespaces.*disabled/i,
    reason: "Further user namespaces cannot be forbidden inside a sandbox here",
    fix: "install bubblewrap 0.8.0 or newer, and allow it to write /proc/sys/user/max_user_namespaces in its namespace"
  }
]

/**
 * Explains what bubblewrap wrote to standard error; none when it is no fault of the host that is known.
 */
export const explain = (diagnostics: string): Option.Option<Diagnosis> =>
  Option.map(
    Option.fromNullable(KNOWN.find(({ pattern }) => pattern.test(diagnostics))),
    ({ fix, reason }) => ({ fix, reason })
  )

/**
 * Fails as explained by what bubblewrap wrote, else with the message.
 */
export const fail = (diagnostics: string, otherwise: string): Effect.Effect<never, Unavailable | SandboxError> =>
  Option.match(explain(diagnostics), {
    onNone: () => Effect.fail(new SandboxError({ code: "start_failed", message: otherwise })),
    onSome: ({ fix, reason }) =>
      Effect.fail(new Unavailable({ fix, reason: `${reason} (bubblewrap said: ${diagnostics.trim()})` }))
  })
