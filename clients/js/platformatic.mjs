// The program of @platformatic/kafka.

import * as kafka from '@platformatic/kafka'

import { env, installed, main, Member } from './scenarios.mjs'

function toMessage (topic, r) {
  return { topic, partition: r.partition, key: r.key ?? undefined, value: r.value, headers: new Map(r.headers.map(([k, v]) => [Buffer.from(k), v])), timestamp: BigInt(r.timestamp) }
}

function toRecord (m) {
  return {
    partition: m.partition,
    offset: Number(m.offset),
    key: m.key ?? null,
    value: m.value,
    headers: [...m.headers].map(([k, v]) => [k.toString(), v]),
    timestamp: Number(m.timestamp)
  }
}

/** Every code of Kafka in an error and what is below it. */
function codes (e) {
  if (!e) return []
  return [e.apiId, ...(e.errors ?? []).flatMap(codes), ...codes(e.cause)]
}

class GroupMember extends Member {
  constructor (consumer, topic) {
    super()
    this.consumer = consumer
    this.topic = topic
    const take = () => { this.partitions = [...(consumer.assignments ?? [])].filter(a => a.topic === topic).flatMap(a => a.partitions).sort() }
    consumer.on('consumer:group:join', take)
    consumer.on('consumer:group:rebalance', () => { this.partitions = [] })
    this.timer = setInterval(take, 20) // KIP-848's changes
  }

  commit (partition, offset) {
    return this.consumer.commit({ offsets: [{ topic: this.topic, partition, offset: BigInt(offset), leaderEpoch: -1 }] })
  }

  async leave () {
    clearInterval(this.timer)
    await this.consumer.close(true)
  }
}

class Client {
  constructor () {
    this.base = { clientId: 'platformatic', bootstrapBrokers: env.brokers, retries: 2, retryDelay: 100 }
    this.admin = new kafka.Admin(this.base)
    this.reads = 0
  }

  createTopic (topic, partitions, config) {
    const configs = Object.entries(config).map(([name, value]) => ({ name, value }))
    return this.admin.createTopics({ topics: [topic], partitions, replicas: env.replication, configs })
  }

  async countPartitions (topic) {
    return (await this.admin.metadata({ topics: [topic], forceUpdate: true })).topics.get(topic).partitionsCount
  }

  async withProducer (options, fn) {
    const producer = new kafka.Producer({ ...this.base, ...options })
    try {
      return await fn(producer)
    } finally {
      await producer.close()
    }
  }

  simple (topic, value) {
    return this.withProducer({ serializers: kafka.stringSerializers, autocreateTopics: true, retries: 10 }, async producer => {
      const { offsets } = await producer.send({ messages: [{ topic, value }] })
      return Number(offsets[0].offset)
    })
  }

  produce (topic, records, { codec = 'none', idempotent = false }) {
    return this.withProducer({ idempotent }, producer =>
      producer.send({ messages: records.map(r => toMessage(topic, r)), acks: -1, compression: codec }))
  }

  async slowProducer () {
    const producer = new kafka.Producer({ ...this.base, idempotent: true, retries: 200, retryDelay: 300 })
    return {
      send: (topic, r) => producer.send({ messages: [toMessage(topic, r)], acks: -1 }),
      close: () => producer.close()
    }
  }

  async read (topic, partition, n, { offset = 0, time } = {}) {
    if (time !== undefined) {
      const found = await this.admin.listOffsets({ topics: [{ name: topic, partitions: [{ partitionIndex: partition, timestamp: BigInt(time) }] }] })
      offset = Number(found[0].partitions[0].offset)
    }
    const consumer = new kafka.Consumer({ ...this.base, groupId: `${env.prefix}-read-${process.pid}-${this.reads++}`, maxWaitTime: 200 })
    const got = []
    try {
      const count = await this.countPartitions(topic)
      const offsets = Array.from({ length: count }, (_, p) => ({ topic, partition: p, offset: BigInt(p === partition ? offset : 0) }))
      const stream = await consumer.consume({ topics: [topic], mode: 'manual', offsets, autocommit: false })
      const timer = setTimeout(() => stream.destroy(new Error(`read ${got.length} of ${n} records`)), 30_000)
      for await (const m of stream) {
        if (m.partition === partition) got.push(toRecord(m))
        if (got.length === n) break
      }
      clearTimeout(timer)
    } finally {
      await consumer.close(true)
    }
    return got
  }

  async join (protocol, groupId, topic) {
    const options = { ...this.base, groupId, maxWaitTime: 200, autocommit: false, groupProtocol: protocol }
    if (protocol === 'classic') Object.assign(options, { sessionTimeout: 10_000, rebalanceTimeout: 10_000, heartbeatInterval: 300 })
    const consumer = new kafka.Consumer(options)
    const member = new GroupMember(consumer, topic)
    const stream = await consumer.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest' })
    // What was being fetched from another broker during a rebalance is delivered all the
    // same: of partitions that were taken away, and of others once more afterwards.
    const next = new Map()
    stream.on('data', m => {
      if (!member.partitions.includes(m.partition) || m.offset < (next.get(m.partition) ?? 0n)) return
      next.set(m.partition, m.offset + 1n)
      member.records.push(toRecord(m))
    })
    stream.on('error', e => { member.error = e })
    return member
  }

  async unknown (topic) { await this.admin.metadata({ topics: [topic], autocreateTopics: false }) }

  isTopicExists (e) { return codes(e).includes('TOPIC_ALREADY_EXISTS') }
  isUnknownTopic (e) { return codes(e).includes('UNKNOWN_TOPIC_OR_PARTITION') || /^Unknown topic /.test(e.message) }
  isTooLarge (e) { return codes(e).includes('MESSAGE_TOO_LARGE') }

  adminSteps (topic, group) {
    const a = this.admin
    const resource = { resourceType: kafka.ConfigResourceTypes.TOPIC, resourceName: topic }
    return [
      ['metadata', () => a.metadata({ topics: [topic], forceUpdate: true }), r => r.brokers.size > 0 && r.topics.get(topic).partitionsCount === 2],
      ['listTopics', () => a.listTopics(), r => r.includes(topic)],
      ['incrementalAlterConfigs', () => a.incrementalAlterConfigs({
        resources: [{ ...resource, configs: [{ name: 'retention.ms', configOperation: kafka.IncrementalAlterConfigOperationTypes.SET, value: '86400000' }] }]
      }), () => true],
      ['describeConfigs', () => a.describeConfigs({ resources: [{ ...resource, configurationKeys: ['retention.ms'] }] }),
        r => r[0].configs[0].value === '86400000'],
      ['createPartitions', () => a.createPartitions({ topics: [{ name: topic, count: 3, assignments: null }] }), async () => await this.countPartitions(topic) === 3],
      ['deleteRecords', () => a.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 5n }] }] }),
        r => r[0].partitions[0].lowWatermark === 5n],
      ['listOffsets', () => a.listOffsets({ topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp: -2n }, { partitionIndex: 1, timestamp: -1n }] }] }),
        r => r[0].partitions.some(p => p.partitionIndex === 0 && p.offset === 5n) && r[0].partitions.some(p => p.partitionIndex === 1 && p.offset === 20n)],
      ['listGroups', () => a.listGroups(), r => r.has(group)],
      ['describeGroups', () => a.describeGroups({ groups: [group] }), r => r.get(group).state.toUpperCase() === 'EMPTY'],
      ['listConsumerGroupOffsets', () => a.listConsumerGroupOffsets({ groups: [group] }),
        r => r[0].topics[0].partitions.some(p => p.partitionIndex === 0 && p.committedOffset === 7n)],
      ['alterConsumerGroupOffsets', () => a.alterConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionOffsets: [{ partition: 0, offset: 9n }] }] }),
        async () => (await a.listConsumerGroupOffsets({ groups: [group] }))[0].topics[0].partitions.some(p => p.committedOffset === 9n)],
      ['deleteConsumerGroupOffsets', () => a.deleteConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionIndexes: [0] }] }), () => true],
      ['deleteGroups', () => a.deleteGroups({ groups: [group] }), async () => !(await a.listGroups()).has(group)],
      ['deleteTopics', () => a.deleteTopics({ topics: [topic] }), async () => !(await a.listTopics()).includes(topic)]
    ]
  }

  close () { return this.admin.close() }
}

await main(new Client(), installed('@platformatic/kafka'))
