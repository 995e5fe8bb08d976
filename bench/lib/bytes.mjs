// What the kernel counts: bytes through this machine's own sockets, and bytes that processes hand to
// the disk. It counts whatever else the machine does there, too.

import { readdirSync, readFileSync } from 'node:fs'

/** Bytes over the loopback device until now, with the headers of TCP and IP. */
export function bytesSent() {
  const line = /^\s*lo:(.*)$/m.exec(readFileSync('/proc/net/dev', 'utf8'))?.[1] ?? ''
  return Number(line.trim().split(/\s+/)[0])
}

/** Bytes that processes, and those they started, made the kernel write until now. @param {readonly number[]} pids */
export function bytesWritten(pids) {
  let bytes = 0
  for (const pid of withDescendants(pids)) {
    const io = read(`/proc/${pid}/io`)
    bytes += Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? 0)
  }
  return bytes
}

/** @param {readonly number[]} pids */
function withDescendants(pids) {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), parent: parentOf(name) }))
  const found = new Set(pids)
  for (const one of found) {
    for (const { pid, parent } of parents) if (parent === one) found.add(pid)
  }
  return found
}

/** @param {string} pid */
const parentOf = (pid) => Number(/^PPid:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1])

/** Empty for a process that is gone. @param {string} path */
function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
