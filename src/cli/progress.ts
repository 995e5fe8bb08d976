/** A progress bar on a terminal's stderr, with rate and time left; silent elsewhere. */
import { Presets, SingleBar } from 'cli-progress'
import type { Shell } from './shell.ts'

export interface Progress {
  /** `done` of `total`, in whatever unit; `amount` is shown with its rate. */
  update(done: number, amount: number): void
  stop(): void
}

export interface ProgressOptions {
  readonly title: string
  readonly total: number
  /** Shows it even when stderr is no terminal, or hides it. Default: on a terminal. */
  readonly show?: boolean | undefined
  readonly nowMs: () => number
  /** What is shown with its rate. Default rows. */
  readonly unit?: Unit | undefined
}

export type Unit = 'rows' | 'bytes' | 'entries' | 'keys'

const NONE: Progress = { update: () => undefined, stop: () => undefined }
const PLAIN_EVERY_MS = 1_000

export function startProgress(
  shell: Shell,
  { title, total, show, nowMs, unit = 'rows' }: ProgressOptions,
): Progress {
  if (!(show ?? shell.isTerminal) || shell.json) return NONE
  return shell.isTerminal
    ? bar(shell, { title, total, nowMs, unit })
    : lines(shell, { title, total, nowMs, unit })
}

type Shown = Required<Pick<ProgressOptions, 'title' | 'total' | 'nowMs'>> & { readonly unit: Unit }

function bar(shell: Shell, { title, total, nowMs, unit }: Shown): Progress {
  const single = new SingleBar(
    {
      stream: shell.stderr,
      format: `${title} [{bar}] {percentage}% | {amount} | {rate}/s | {eta_formatted} left`,
      hideCursor: true,
      clearOnComplete: false,
      fps: 8,
      etaBuffer: 40,
      gracefulExit: false,
    },
    Presets.shades_classic,
  )
  const startedMs = nowMs()
  single.start(Math.max(1, total), 0, { amount: '0', rate: '-' })
  return {
    update: (done, amount) =>
      single.update(Math.min(done, total), payload(amount, nowMs() - startedMs, unit)),
    stop: () => single.stop(),
  }
}

function lines(shell: Shell, { title, total, nowMs, unit }: Shown): Progress {
  const startedMs = nowMs()
  let saidMs = startedMs
  return {
    update: (done, amount) => {
      const now = nowMs()
      if (now - saidMs < PLAIN_EVERY_MS) return
      saidMs = now
      const percent = Math.floor((100 * Math.min(done, total)) / Math.max(1, total))
      const shown = payload(amount, now - startedMs, unit)
      shell.say(`${title} ${percent}% | ${shown.amount} | ${shown.rate}/s`)
    },
    stop: () => undefined,
  }
}

function payload(amount: number, tookMs: number, unit: Unit): { amount: string; rate: string } {
  const text = (value: number): string =>
    unit === 'bytes' ? size(Math.round(value)) : `${count(value)} ${unit}`
  return { amount: text(amount), rate: text((amount * 1000) / Math.max(1, tookMs)) }
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
