/**
 * The filter as the kernel would run it, for both machines; what the kernel does with it is tried in the check.
 */
import { describe, expect, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"
import { type Architecture, filter } from "../../src/isolation/Seccomp.js"

const ALLOW = 0x7fff0000
const KILL = 0x80000000
const EPERM = 0x00050001
const ENOSYS = 0x00050026
const EAFNOSUPPORT = 0x00050061
const EPROTONOSUPPORT = 0x0005005d

const AUDIT = { x64: 0xc000003e, arm64: 0xc00000b7 } as const
const machines: ReadonlyArray<Architecture> = ["x64", "arm64"]

/** Runs classic BPF (bpf(4)) on a call; only what filters use. */
const run = (program: Uint8Array, audit: number, number: number, args: ReadonlyArray<number> = []): number => {
  const data = new DataView(new ArrayBuffer(64))
  data.setUint32(0, number >>> 0, true)
  data.setUint32(4, audit, true)
  args.forEach((arg, index) => data.setBigUint64(16 + 8 * index, BigInt.asUintN(64, BigInt(arg)), true))
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength)
  let word = 0
  for (let at = 0; at * 8 < program.byteLength;) {
    const k = code.getUint32(at * 8 + 4, true)
    const [jumpTrue, jumpFalse] = [code.getUint8(at * 8 + 2), code.getUint8(at * 8 + 3)]
    const jump = (taken: boolean) => {
      at += 1 + (taken ? jumpTrue : jumpFalse)
    }
    switch (code.getUint16(at * 8, true)) {
      case 0x20:
        word = data.getUint32(k, true)
        at++
        break
      case 0x15:
        jump(word === k)
        break
      case 0x35:
        jump(word >= k)
        break
      case 0x45:
        jump((word & k) !== 0)
        break
      case 0x06:
        return k
      default:
        throw new Error("an instruction that filters do not use")
    }
  }
  throw new Error("the filter ends without a verdict")
}

/** Numbers by name, as this system's headers have them. */
const headers = (machine: Architecture): Map<string, number> => {
  const [file, pattern] = machine === "x64"
    ? ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", /^#define __NR_(\w+)\s+(\d+)/gm] as const
    : ["/usr/include/asm-generic/unistd.h", /^#define __NR(?:3264)?_(\w+)\s+(\d+)/gm] as const
  const text = existsSync(file) ? readFileSync(file, "utf8") : ""
  return new Map([...text.matchAll(pattern)].map(([, name = "", number]) => [name, Number(number)]))
}

/** Calls that ordinary programs live on. */
const ORDINARY = (
  "read write openat close mmap munmap mprotect brk futex execve wait4 kill tgkill pipe2 dup3 fcntl getdents64 " +
  "epoll_ctl eventfd2 accept4 connect bind listen sendmsg recvmsg rt_sigaction clock_gettime nanosleep getrandom " +
  "memfd_create prctl setrlimit prlimit64 statx rseq sched_getaffinity sched_yield splice sendfile utimensat " +
  "renameat2 unlinkat mkdirat symlinkat linkat fchmodat fchownat inotify_init1 timerfd_create signalfd4 copy_file_range " +
  "close_range openat2 faccessat2 pidfd_open pidfd_send_signal setsid setpgid shmget semget msgget mlock io_setup"
).split(" ")

const REFUSED = (
  "mount umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr unshare setns ptrace " +
  "process_vm_readv process_vm_writev kcmp pidfd_getfd add_key request_key keyctl bpf perf_event_open userfaultfd " +
  "io_uring_setup io_uring_enter io_uring_register open_by_handle_at kexec_load kexec_file_load init_module finit_module " +
  "delete_module reboot swapon swapoff acct quotactl settimeofday clock_settime clock_adjtime adjtimex sethostname " +
  "setdomainname syslog fanotify_init mbind set_mempolicy move_pages migrate_pages"
).split(" ")

for (const machine of machines) {
  const program = filter(machine)
  const numbers = headers(machine)
  const verdict = (number: number, ...args: ReadonlyArray<number>) => run(program, AUDIT[machine], number, args)
  const number = (name: string): number => {
    const found = numbers.get(name)
    if (found === undefined) throw new Error(`no ${name} in this system's headers`)
    return found
  }

  describe.skipIf(numbers.size === 0)(`the filter for ${machine}`, () => {
    it("refuses what the header calls by these names, and nothing that ordinary programs use", () => {
      expect(REFUSED.filter((name) => verdict(number(name)) !== EPERM)).toEqual([])
      expect(ORDINARY.filter((name) => verdict(number(name)) !== ALLOW)).toEqual([])
    })

    it("ends a process that calls as another machine", () => {
      for (const audit of [0x40000003, 0x40000028, AUDIT[machine === "x64" ? "arm64" : "x64"]]) {
        expect(run(program, audit, number("read"))).toBe(KILL)
      }
    })

    it("knows no later call, and none by x32", () => {
      expect(verdict(463)).toBe(ENOSYS)
      expect(verdict(100_000)).toBe(ENOSYS)
      expect(verdict(0x40000000 | number("read"))).toBe(ENOSYS)
      expect(verdict(-1)).toBe(ENOSYS)
    })

    it("lets threads and processes be made, in no new namespace", () => {
      expect(verdict(number("clone3"), 0, 88)).toBe(ENOSYS)
      const THREAD = 0x3d0f00
      expect(verdict(number("clone"), THREAD)).toBe(ALLOW)
      expect(verdict(number("clone"), 0x1200011)).toBe(ALLOW)
      for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]) {
        expect(verdict(number("clone"), flag | 17)).toBe(EPERM)
        expect(verdict(number("clone"), 2 ** 32 + (flag | 17))).toBe(EPERM)
      }
    })

    it("lets terminals be used, and not be typed into", () => {
      expect(verdict(number("ioctl"), 0, 0x5401)).toBe(ALLOW)
      expect(verdict(number("ioctl"), 0, 0x5412)).toBe(EPERM)
      expect(verdict(number("ioctl"), 0, 0x541c)).toBe(EPERM)
      expect(verdict(number("ioctl"), 0, 0x5423)).toBe(EPERM)
      // The kernel looks at the low half alone.
      expect(verdict(number("ioctl"), 0, 2 ** 32 + 0x5412)).toBe(EPERM)
    })

    it("knows four families of sockets", () => {
      const socket = (family: number, protocol = 0) => verdict(number("socket"), family, 1, protocol)
      for (let family = 0; family < 60; family++) {
        expect(socket(family), `family ${family}`).toBe([1, 2, 10, 16].includes(family) ? ALLOW : EAFNOSUPPORT)
      }
      for (const family of [2, 10]) {
        for (const protocol of [0, 1, 6, 17, 58]) expect(socket(family, protocol)).toBe(ALLOW)
        for (const protocol of [2, 33, 132, 136, 262]) expect(socket(family, protocol)).toBe(EPROTONOSUPPORT)
      }
      expect(socket(16, 15)).toBe(EPROTONOSUPPORT)
      expect(socket(1, 99)).toBe(ALLOW)
      expect(verdict(number("socketpair"), 1, 1, 0)).toBe(ALLOW)
      expect(verdict(number("socketpair"), 40, 1, 0)).toBe(EAFNOSUPPORT)
    })

    it("lets a process ask for its personality, and not turn protections off", () => {
      expect(verdict(number("personality"), 0xffffffff)).toBe(ALLOW)
      expect(verdict(number("personality"), 0x40000)).toBe(EPERM)
      expect(verdict(number("personality"), 0x400000)).toBe(EPERM)
    })

    it("gives a verdict for every number", () => {
      for (let number = -2; number < 1200; number++) {
        expect([ALLOW, EPERM, ENOSYS, EAFNOSUPPORT, EPROTONOSUPPORT]).toContain(verdict(number))
      }
    })
  })
}
