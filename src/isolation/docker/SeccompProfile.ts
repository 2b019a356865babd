/**
 * The filter of system calls as a container engine takes it: a profile in JSON (docs.docker.com/engine/security/seccomp),
 * from the same tables as the program that bubblewrap is given, so that both walls refuse the same.
 *
 * It lists what is allowed, because the engine's library (libseccomp) cannot refuse a call that it has no name for. What
 * is not listed fails with EPERM; what is newer than the library with ENOSYS, by the container runtime's own doing.
 */
import * as Seccomp from "../Seccomp.js"

/**
 * The calls that are allowed whatever their arguments: all of x64 up to `mseal`, which are also those of arm64, without
 * those that `Seccomp.ts` refuses or looks into.
 */
export const ALLOWED: ReadonlyArray<string> = `
accept accept4 access afs_syscall alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_getres
clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve
execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat
fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex
futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents
getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getpmsg getppid getpriority
getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
io_setup io_submit ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
lchown lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack
membarrier memfd_create mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect mq_getsetattr
mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock
munlockall munmap nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc
pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 pselect6 putpmsg pwrite64 pwritev pwritev2
read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr rename renameat
renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp security select semctl semget semop semtimedop sendfile sendmmsg sendmsg
sendto set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid
setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr shmat shmctl shmdt
shmget shutdown sigaltstack signalfd signalfd4 splice stat statfs statx symlink symlinkat sync sync_file_range
syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
timerfd_gettime timerfd_settime times tkill truncate tuxcall umask uname unlink unlinkat utime utimensat utimes
vfork vmsplice wait4 waitid write writev
`.trim().split(/\s+/)

interface Argument {
  readonly index: number
  /** Which bits of it are compared, and with what. */
  readonly mask: number
  readonly value: number
}

interface Rule {
  readonly names: ReadonlyArray<string>
  readonly arguments?: ReadonlyArray<Argument>
  /** What it fails with; allowed without. */
  readonly errno?: number
}

const NO_SUCH_CALL = 38
const NO_SUCH_PROTOCOL = 93
const NO_SUCH_FAMILY = 97

/** An argument of 32 bits: the kernel does not look at the others of the register, and neither must the filter. */
const WORD = 0xffffffff

/** The address families and the protocols that there are names for (AF_MAX; NETLINK_SMC); others fail with EPERM. */
const FAMILIES = Array.from({ length: 46 }, (_, family) => family)
const NETLINK_PROTOCOLS = Array.from({ length: 23 }, (_, protocol) => protocol)

/** Some of those that the kernel would load a module for: IGMP, DCCP, GRE, ESP, AH, SCTP, UDP-Lite, raw, MPTCP. */
const OTHER_PROTOCOLS = [2, 33, 47, 50, 51, 132, 136, 255, 262]

const is = (index: number, value: number): Argument => ({ index, mask: WORD, value })

const bit = (value: number, index: number): number => Math.floor(value / 2 ** index) % 2

/**
 * Comparisons of an argument of 32 bits of which one holds for every value but these. The library knows no "none of":
 * each takes the values that begin like one of these and go on otherwise.
 */
export const allBut = (index: number, values: ReadonlyArray<number>): ReadonlyArray<Argument> => {
  const below = (depth: number, prefix: number, left: ReadonlyArray<number>): ReadonlyArray<Argument> => {
    if (left.length === 0) return [{ index, mask: 2 ** 32 - 2 ** depth, value: prefix }]
    if (depth === 0) return []
    return [0, 1].flatMap((next) =>
      below(depth - 1, prefix + next * 2 ** (depth - 1), left.filter((value) => bit(value, depth - 1) === next))
    )
  }
  return below(32, 0, values)
}

const each = (name: string, all: ReadonlyArray<Argument>): ReadonlyArray<Rule> =>
  all.map((argument) => ({ names: [name], arguments: [argument] }))

const internet = [Seccomp.AF_INET, Seccomp.AF_INET6]
const known = [Seccomp.AF_UNIX, ...internet, Seccomp.AF_NETLINK]

const rules: ReadonlyArray<Rule> = [
  { names: ALLOWED },
  // Its flags are in memory, out of a filter's sight; the C library falls back to `clone`, whose flags are not.
  { names: ["clone3"], errno: NO_SUCH_CALL },
  { names: ["clone"], arguments: [{ index: 0, mask: Seccomp.CLONE_NAMESPACES, value: 0 }] },
  ...each("ioctl", allBut(1, Seccomp.TERMINAL_REQUESTS)),
  ...each("personality", Seccomp.PERSONALITIES.map((value) => is(0, value))),
  { names: ["socket", "socketpair"], arguments: [is(0, Seccomp.AF_UNIX)] },
  ...internet.flatMap((family) =>
    Seccomp.INTERNET_PROTOCOLS.map((protocol) => ({ names: ["socket"], arguments: [is(0, family), is(2, protocol)] }))
  ),
  { names: ["socket"], arguments: [is(0, Seccomp.AF_NETLINK), is(2, Seccomp.NETLINK_ROUTE)] },
  // Only so that programs are told why: without these it would be EPERM.
  ...FAMILIES.filter((family) => !known.includes(family)).map((family) => ({
    names: ["socket", "socketpair"],
    arguments: [is(0, family)],
    errno: NO_SUCH_FAMILY
  })),
  ...internet.flatMap((family) =>
    OTHER_PROTOCOLS.map((protocol) => ({
      names: ["socket"],
      arguments: [is(0, family), is(2, protocol)],
      errno: NO_SUCH_PROTOCOL
    }))
  ),
  ...NETLINK_PROTOCOLS.filter((protocol) => protocol !== Seccomp.NETLINK_ROUTE).map((protocol) => ({
    names: ["socket"],
    arguments: [is(0, Seccomp.AF_NETLINK), is(2, protocol)],
    errno: NO_SUCH_PROTOCOL
  }))
]

/**
 * The profile, for x64 and arm64; a call of another architecture ends the process.
 */
export const profile: string = JSON.stringify({
  defaultAction: "SCMP_ACT_ERRNO",
  archMap: [
    { architecture: "SCMP_ARCH_X86_64", subArchitectures: [] },
    { architecture: "SCMP_ARCH_AARCH64", subArchitectures: [] }
  ],
  syscalls: rules.map(({ arguments: all = [], errno, names }) => ({
    names,
    action: errno === undefined ? "SCMP_ACT_ALLOW" : "SCMP_ACT_ERRNO",
    ...(errno === undefined ? {} : { errnoRet: errno }),
    args: all.map(({ index, mask, value }) => ({ index, value: mask, valueTwo: value, op: "SCMP_CMP_MASKED_EQ" }))
  }))
})
