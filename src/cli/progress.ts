/** A progress bar on a terminal's stderr, with rate and time left; silent elsewhere. */
import { Presets, SingleBar } from 'cli-progress'
import type { Shell } from './shell.ts'

export interface Progress {
  /** `done` of `total`, in whatever unit; `rows` are shown with their rate. */
  update(done: number, rows: number): void
  stop(): void
}

export interface ProgressOptions {
  readonly title: string
  readonly total: number
  /** Shows it even when stderr is no terminal, or hides it. Default: on a terminal. */
  readonly show?: boolean | undefined
  readonly nowMs: () => number
}

const NONE: Progress = { update: () => undefined, stop: () => undefined }
const PLAIN_EVERY_MS = 1_000

export function startProgress(
  shell: Shell,
  { title, total, show, nowMs }: ProgressOptions,
): Progress {
  if (!(show ?? shell.isTerminal) || shell.json) return NONE
  return shell.isTerminal ? bar(shell, title, total, nowMs) : lines(shell, title, total, nowMs)
}

function bar(shell: Shell, title: string, total: number, nowMs: () => number): Progress {
  const single = new SingleBar(
    {
      stream: shell.stderr,
      format: `${title} [{bar}] {percentage}% | {rows} rows | {rate} rows/s | {eta_formatted} left`,
      hideCursor: true,
      clearOnComplete: false,
      fps: 8,
      etaBuffer: 40,
      gracefulExit: false,
    },
    Presets.shades_classic,
  )
  const startedMs = nowMs()
  single.start(Math.max(1, total), 0, { rows: '0', rate: '-' })
  return {
    update: (done, rows) =>
      single.update(Math.min(done, total), payload(rows, nowMs() - startedMs)),
    stop: () => single.stop(),
  }
}

function lines(shell: Shell, title: string, total: number, nowMs: () => number): Progress {
  const startedMs = nowMs()
  let saidMs = startedMs
  return {
    update: (done, rows) => {
      const now = nowMs()
      if (now - saidMs < PLAIN_EVERY_MS) return
      saidMs = now
      const percent = Math.floor((100 * Math.min(done, total)) / Math.max(1, total))
      const { rows: count, rate } = payload(rows, now - startedMs)
      shell.say(`${title} ${percent}% | ${count} rows | ${rate} rows/s`)
    },
    stop: () => undefined,
  }
}

function payload(rows: number, tookMs: number): { rows: string; rate: string } {
  return { rows: count(rows), rate: count(Math.round((rows * 1000) / Math.max(1, tookMs))) }
}

/** 1234567 as 1,234,567. */
export function count(value: number): string {
  return String(Math.round(value)).replaceAll(/\B(?=(?:\d{3})+$)/g, ',')
}

/** Bytes in the unit that gives few digits. */
export function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes / 1024
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${value.toFixed(1)} ${units[unit]}`
}

export function took(ms: number): string {
  if (ms < 1) return `${ms.toFixed(2)} ms`
  return ms < 1000 ? `${ms.toFixed(ms < 10 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(1)} s`
}
