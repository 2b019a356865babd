/**
 * The check fails closed: a bubblewrap that does less than it was asked for is found out, and each cure is told.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Bubblewrap from "../../src/isolation/Bubblewrap.js"
import { doctor, missingPackages } from "../../src/isolation/Doctor.js"
import { Isolation } from "../../src/isolation/Isolation.js"
import { isRoot, makeFolder } from "./support.js"

const script = (text: string) =>
  Effect.map(makeFolder, (folder) => {
    const path = Path.join(folder, "bwrap")
    Fs.writeFileSync(path, text)
    Fs.chmodSync(path, 0o755)
    return path
  })

/** A bubblewrap that changes its arguments first: `change` is Python that works on the list `args`. */
const changed = (change: string) =>
  script(`#!/usr/bin/python3 -IS
import os, sys
if sys.argv[1:] != ["--version"]:
    descriptor = int(sys.argv[2])
    args = b""
    while chunk := os.read(descriptor, 65536):
        args += chunk
    args = args.decode().split("\\0")[:-1]
    def drop(*flags):
        for at in range(len(args) - len(flags), -1, -1):
            if args[at:at + len(flags)] == list(flags):
                del args[at:at + len(flags)]
${change.split("\n").map((line) => `    ${line}`).join("\n")}
    reading, writing = os.pipe()
    os.write(writing, "".join(arg + "\\0" for arg in args).encode())
    os.close(writing)
    os.dup2(reading, descriptor)
    if reading != descriptor:
        os.close(reading)
# Python adds a variable of its own.
os.execve("/usr/bin/bwrap", ["bwrap", *sys.argv[1:]], {"PATH": "/usr/bin:/bin"})
`)

/** A bubblewrap that tells a version and then complains. */
const complaining = (complaint: string, version = "0.8.0") =>
  script(
    `#!/bin/sh\nif [ "$1" = --version ]; then echo "bubblewrap ${version}"; exit 0; fi\necho 'bwrap: ${complaint}' >&2\nexit 1\n`
  )

const checkWith = (path: string) =>
  Effect.flatMap(Isolation, (isolation) => isolation.check).pipe(Effect.provide(Bubblewrap.layer({ path })))

const brokenWith = (path: string) =>
  doctor.pipe(
    Effect.map((guarantees) => guarantees.filter(({ holds }) => !holds).map(({ id }) => id)),
    Effect.provide(Bubblewrap.layer({ path }))
  )

describe("the check", () => {
  it.scopedLive("succeeds with what enforces each guarantee", () =>
    Effect.gen(function*() {
      const guarantees = yield* Effect.flatMap(Isolation, (isolation) => isolation.check).pipe(
        Effect.provide(Bubblewrap.layer())
      )
      expect(guarantees.every(({ holds, mechanism }) => holds && mechanism !== "")).toBe(true)
      expect(yield* Effect.provide(doctor, Bubblewrap.layer())).toEqual(guarantees)
    }))

  const weakened: ReadonlyArray<readonly [name: string, change: string, broken: string]> = [
    ["the host's network", "drop('--unshare-net')", "network"],
    ["no filter", "drop('--seccomp', '5')", "system-calls"],
    ["a root that can be written", "drop('--remount-ro', '/')", "read-only-system"],
    ["the engine's session", "drop('--new-session')", "terminal"],
    [
      "a folder without a size",
      "at = args.index('/tmp') - 3; assert args[at] == '--size'; del args[at:at + 2]",
      "folder-sizes"
    ],
    ["files of the host", "args += ['--ro-bind', '/tmp', '/tmp']", "host-files"],
    ["the engine's user", "drop('--uid', '1000', '--gid', '1000'); args += ['--uid', '0', '--gid', '0']", "user"],
    ["variables of the engine", "args += ['--setenv', 'ENGINE_SECRET', 'x']", "environment"],
    [
      "further devices",
      "at = args.index('--remount-ro'); args[at:at] = ['--dev-bind', '/dev/null', '/dev/kmsg']",
      "devices"
    ]
  ]
  for (const [name, change, broken] of weakened) {
    it.scopedLive(`finds out ${name}`, () =>
      Effect.gen(function*() {
        const path = yield* changed(change)
        expect(yield* brokenWith(path)).toContain(broken)
        const error = yield* Effect.flip(checkWith(path))
        expect(error.code).toBe("isolation_unavailable")
        expect(error.message).toContain("This host cannot isolate sandboxes")
      }))
  }

  it.scopedLive("finds nothing wrong with a bubblewrap that is only called by another name", () =>
    Effect.gen(function*() {
      expect(yield* brokenWith(yield* changed("pass"))).toEqual([])
    }))

  it.live("says what to install when there is no bubblewrap", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(checkWith("/nonexistent/bwrap"))
      expect(error).toMatchObject({ _tag: "SandboxError", code: "isolation_unavailable" })
      expect(error.message).toContain("no bubblewrap at /nonexistent/bwrap")
      expect(error.message).toMatch(/install.* bubblewrap/)
      expect(yield* brokenWith("/nonexistent/bwrap")).toEqual(["sandbox"])
    }))

  it.scopedLive("refuses a bubblewrap that is too old", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(checkWith(yield* complaining("", "0.7.3")))
      expect(error.message).toContain("bubblewrap 0.7.3, and 0.8.0 or newer is needed")
    }))

  it.scopedLive.skipIf(!isRoot)("refuses a bubblewrap that is set-user-id root", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* makeFolder, "bwrap")
      Fs.copyFileSync("/usr/bin/bwrap", path)
      Fs.chmodSync(path, 0o4755)
      const error = yield* Effect.flip(checkWith(path))
      expect(error.message).toContain("set-user-id")
      expect(error.message).toContain(`chmod u-s ${path}`)
    }))

  const complaints: ReadonlyArray<readonly [complaint: string, cure: string]> = [
    ["setting up uid map: Permission denied", "apparmor_parser"],
    ["loopback: Failed RTM_NEWADDR: Operation not permitted", "apparmor_parser"],
    [
      "Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)",
      "user.max_user_namespaces"
    ],
    [
      "No permissions to create new namespace, likely because the kernel does not allow it",
      "kernel.unprivileged_userns_clone=1"
    ],
    ["Creating new namespace failed: Operation not permitted", "seccomp=unconfined"],
    ["Can'\\''t mount proc on /newroot/proc: Operation not permitted", "systempaths=unconfined"],
    ["pivot_root: Operation not permitted", "seccomp=unconfined"],
    ["Unknown option --disable-userns", "0.8.0 or newer"]
  ]
  for (const [complaint, cure] of complaints) {
    it.scopedLive(`tells the cure for: ${complaint}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(checkWith(yield* complaining(complaint)))
        expect(error.code).toBe("isolation_unavailable")
        expect(error.message).toContain(cure)
      }))
  }

  it.scopedLive("forgets a failure", () =>
    Effect.gen(function*() {
      const path = yield* complaining("out of luck")
      yield* Effect.gen(function*() {
        const { check } = yield* Isolation
        yield* Effect.flip(check)
        Fs.unlinkSync(path)
        Fs.symlinkSync("/usr/bin/bwrap", path)
        expect((yield* check).length).toBeGreaterThan(15)
      }).pipe(Effect.provide(Bubblewrap.layer({ path })))
    }))
})

describe("missingPackages", () => {
  it.effect("names nothing where all is installed", () =>
    Effect.gen(function*() {
      expect(yield* missingPackages).toEqual([])
    }))
})
