// The scenarios of the JavaScript clients; package scenario has the same in Go, and says
// how they are reported.

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect, isDeepStrictEqual } from 'node:util'

export const env = {
  brokers: process.env.BOOTSTRAP.split(','),
  prefix: process.env.PREFIX,
  startMs: Number(process.env.START_MS),
  replication: Number(process.env.REPLICATION),
  records: Number(process.env.FAILOVER_RECORDS),
  interval: Number(process.env.FAILOVER_MS)
}

/** The version of a package. */
export function installed (name) {
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version
}

const scenarioMax = 90_000 // milliseconds

/** The library does not have this. */
export class NotApplicable extends Error {}

/** Record i of the series that every client produces. */
function sample (partition, i) {
  const number = String(i).padStart(4, '0')
  return {
    partition,
    offset: i,
    key: i % 4 === 3 ? null : Buffer.from(`key-${number}`),
    value: Buffer.from(`value-${number}-é✓-` + 'abcdefghij'.repeat((i % 7) * 10)),
    headers: [['index', Buffer.from(String(i))], ['bytes', Buffer.from([0x00, 0x01, 0xfe, 0xff])]],
    timestamp: env.startMs + i * 1000
  }
}

function samples (partition, lo, hi) {
  return Array.from({ length: hi - lo }, (_, i) => sample(partition, lo + i))
}

function text (partition, value) {
  return { partition, key: null, value: Buffer.from(value), headers: [], timestamp: env.startMs }
}

export function expect (got, want, what = 'answer') {
  if (!isDeepStrictEqual(got, want)) {
    throw new Error(`${what}: ${inspect(got, { depth: 5 })}, want ${inspect(want, { depth: 5 })}`)
  }
}

function same (got, want) {
  expect(got.length, want.length, 'number of records')
  got.forEach((g, i) => expect(g, want[i], 'record'))
}

/** Awaits fn, which has to fail with an error that check knows. */
async function fails (check, fn) {
  try {
    await fn()
  } catch (e) {
    if (!(e instanceof NotApplicable) && check(e)) return
    throw e
  }
  throw new Error('no error')
}

async function waitFor (cond, what) {
  const end = Date.now() + scenarioMax
  while (!cond()) {
    if (Date.now() > end) throw new Error(`waiting for ${what()}`)
    await sleep(20)
  }
}

/** What a member of a group has and reads; a client feeds it. */
export class Member {
  partitions = []
  records = []
  error = null

  async drain (partitions, lo, hi) {
    const next = new Map(partitions.map(p => [p, lo]))
    for (let missing = partitions.length * (hi - lo); missing > 0; missing--) {
      await waitFor(() => this.records.length > 0 || this.error, () => `${missing} records, next are ${inspect(next)}`)
      if (this.error) throw this.error
      const r = this.records.shift()
      if (!next.has(r.partition)) throw new Error(`partition ${r.partition} came to the member of ${partitions}`)
      expect(r, sample(r.partition, next.get(r.partition)), 'record')
      next.set(r.partition, next.get(r.partition) + 1)
    }
  }

  has (partitions) {
    if (this.error) throw this.error
    return isDeepStrictEqual(this.partitions, partitions)
  }
}

async function create (c, topic) {
  const config = { 'retention.ms': '86400000', 'max.message.bytes': '200000' }
  await c.createTopic(topic, 3, config)
  expect(await c.countPartitions(topic), 3, 'partitions')
  await fails(e => c.isTopicExists(e), () => c.createTopic(topic, 3, config))
}

async function firstUse (c, topic) {
  expect(await c.simple(topic, 'FOOBAR'), 0, 'offset')
  if (await c.countPartitions(topic) === 1) {
    const [r] = await c.read(topic, 0, 1)
    expect([r.key, r.value], [null, Buffer.from('FOOBAR')])
  }
}

async function roundTrip (c, topic, options, n) {
  await c.createTopic(topic, 1, {})
  await c.produce(topic, samples(0, 0, n), options)
  same(await c.read(topic, 0, n), samples(0, 0, n))
}

async function readFrom (c, topic, first, position) {
  await c.createTopic(topic, 2, {})
  for (const p of [0, 1]) await c.produce(topic, samples(p, 0, 60), { codec: 'gzip' })
  same(await c.read(topic, 1, 60 - first, position), samples(1, first, 60))
}

async function group (c, topic, protocol) {
  await c.createTopic(topic, 4, {})
  const all = [0, 1, 2, 3]
  const produce = async (lo, hi) => {
    for (const p of all) await c.produce(topic, samples(p, lo, hi), {})
  }
  const open = []
  const join = async () => {
    const m = await c.join(protocol, `${topic}-group`, topic)
    open.push(m)
    return m
  }
  try {
    const first = await join()
    await waitFor(() => first.has(all), () => `the first member's partitions: ${first.partitions}`)
    const second = await join()
    await waitFor(() => first.partitions.length === 2 && second.partitions.length === 2 &&
      isDeepStrictEqual([...first.partitions, ...second.partitions].sort(), all),
    () => `two partitions each: ${first.partitions} and ${second.partitions}`)
    const shares = [[first, [...first.partitions]], [second, [...second.partitions]]]
    await produce(0, 10)
    for (const [m, share] of shares) {
      await m.drain(share, 0, 10)
      for (const p of share) await m.commit(p, 10)
    }
    open.pop()
    await second.leave()
    await waitFor(() => first.has(all), () => `all partitions again: ${first.partitions}`)
    await produce(10, 20)
    await first.drain(all, 10, 20)
  } finally {
    for (const m of open) await m.leave()
  }
}

async function commitResume (c, topic) {
  await c.createTopic(topic, 1, {})
  await c.produce(topic, samples(0, 0, 60), {})
  for (const [lo, hi] of [[0, 25], [25, 60]]) {
    const m = await c.join('classic', `${topic}-group`, topic)
    try {
      await m.drain([0], lo, hi)
      await m.commit(0, hi)
    } finally {
      await m.leave()
    }
  }
}

async function admin (c, topic) {
  await c.createTopic(topic, 2, {})
  for (const p of [0, 1]) await c.produce(topic, samples(p, 0, 20), {})
  const m = await c.join('classic', `${topic}-group`, topic)
  try {
    await waitFor(() => m.has([0, 1]), () => `all partitions: ${m.partitions}`)
    await m.commit(0, 7)
  } finally {
    await m.leave()
  }
  const calls = []
  for (const [name, call, check] of c.adminSteps(topic, `${topic}-group`)) {
    calls.push(name)
    let got
    try {
      got = await call()
    } catch (e) {
      throw new Error(`${name}: ${describe(e)}`)
    }
    if (!await check(got)) throw new Error(`${name}: unexpected answer ${inspect(got, { depth: 6 })}`)
  }
  return calls.join()
}

async function tooLarge (c, topic) {
  await c.createTopic(topic, 1, { 'max.message.bytes': '5000' })
  const random = Buffer.concat(Array.from({ length: 700 }, (_, i) => createHash('sha256').update(String(i)).digest()))
  await fails(e => c.isTooLarge(e), () => c.produce(topic, [{ ...sample(0, 0), value: random }], {}))
  const small = sample(0, 1)
  await c.produce(topic, [small], {})
  same(await c.read(topic, 0, 1), [{ ...small, offset: 0 }])
}

async function failover (c, topic) {
  await c.createTopic(topic, 3, {})
  const producer = await c.slowProducer()
  let longest = 0
  for (let i = 0; i < env.records; i++) {
    const began = Date.now()
    await producer.send(topic, text(i % 3, String(i)))
    const took = Date.now() - began
    longest = Math.max(longest, took)
    if ((i + 1) % 25 === 0) console.log(`@ progress ${i + 1}`)
    await sleep(Math.max(0, env.interval - took))
  }
  await producer.close()
  for (const p of [0, 1, 2]) {
    await c.produce(topic, [text(p, 'end')], {})
    const want = []
    for (let i = p; i < env.records; i += 3) want.push(String(i))
    want.push('end')
    expect((await c.read(topic, p, want.length)).map(r => r.value.toString()), want, `partition ${p}`)
  }
  return `longest wait for an ack ${longest} ms`
}

function call (c, name, topic) {
  switch (name) {
    case 'create': return create(c, topic)
    case 'first-use': return firstUse(c, topic)
    case 'none': case 'gzip': case 'snappy': case 'lz4': case 'zstd': return roundTrip(c, topic, { codec: name }, 40)
    case 'idempotent': return roundTrip(c, topic, { idempotent: true }, 200)
    case 'from-start': return readFrom(c, topic, 0, {})
    case 'from-offset': return readFrom(c, topic, 37, { offset: 37 })
    case 'from-time': return readFrom(c, topic, 42, { time: env.startMs + 41500 })
    case 'group-classic': return group(c, topic, 'classic')
    case 'group-consumer': return group(c, topic, 'consumer')
    case 'commit-resume': return commitResume(c, topic)
    case 'admin': return admin(c, topic)
    case 'unknown-topic': return fails(e => c.isUnknownTopic(e), () => c.unknown(topic))
    case 'too-large': return tooLarge(c, topic)
    case 'failover': return failover(c, topic)
  }
  throw new Error('there is no such scenario')
}

function describe (e) {
  return [`${e.name}: ${e.message}`, ...(e.errors ?? []).map(describe), ...(e.cause ? [describe(e.cause)] : [])].join('; ')
}

export async function main (client, version) {
  console.log(`@ version ${version}`)
  let status = 0
  for (const name of process.env.SCENARIOS.split(',')) {
    console.log(`@ start ${name}`)
    const began = Date.now()
    const report = (kind, note) => {
      const ms = kind === 'na' ? '' : `${Date.now() - began} `
      console.log(`@ ${kind} ${name} ${ms}${note.replace(/\s+/g, ' ').slice(0, 2000)}`)
    }
    try {
      report('ok', await call(client, name, `${env.prefix}-${name}`) ?? '')
    } catch (e) {
      if (e instanceof NotApplicable) {
        report('na', e.message)
      } else {
        report('fail', describe(e))
        status = 1
      }
    }
  }
  await client.close()
  process.exitCode = status
}
