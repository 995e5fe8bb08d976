/** If-Match and If-None-Match (RFC 9110, 13.1): entity tags in a list, or `*`. */
import type { Condition, Tags } from '../conditions.ts'
import { invalid } from '../members.ts'
import type { HttpContext } from './parts.ts'
import { headerOf } from './request.ts'

/** One tag of a list, with what separates it from the one before. */
const TAG = /(?:^|,)[\t ,]*(W\/)?("[\u0021\u0023-\u007e\u0080-\u00ff]*")[\t ]*/y

/** What the request asks of the row; undefined when it asks nothing. */
export function conditionOf(c: HttpContext): Condition | undefined {
  const match = headerOf(c, 'if-match')
  const noneMatch = headerOf(c, 'if-none-match')
  if (match === undefined && noneMatch === undefined) return undefined
  return {
    // A weak tag says nothing about every byte, so it matches no row (strong comparison).
    match: match === undefined ? undefined : tagsOf('If-Match', match, false),
    noneMatch: noneMatch === undefined ? undefined : tagsOf('If-None-Match', noneMatch, true),
  }
}

function tagsOf(name: string, text: string, takesWeak: boolean): Tags {
  const list = text.trim()
  if (list === '*') return '*'
  const tags: string[] = []
  TAG.lastIndex = 0
  for (let end = 0; end < list.length; end = TAG.lastIndex) {
    const [, weak, tag] = TAG.exec(list) ?? []
    if (tag === undefined) throw invalid(`${name} is * or a list of tags in quotes`)
    if (weak === undefined || takesWeak) tags.push(tag)
  }
  if (list === '') throw invalid(`${name} is * or a list of tags in quotes`)
  return tags
}
