// The program of kafkajs.

import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'

import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'
import lz4 from 'lz4-napi'

import { env, installed, main, Member, NotApplicable } from './scenarios.mjs'

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel, Partitioners } = kafkajs

CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: encoder => lz4.compressFrame(encoder.buffer),
  decompress: buffer => lz4.decompressFrame(buffer)
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async encoder => zstdCompressSync(encoder.buffer),
  decompress: async buffer => zstdDecompressSync(buffer)
})

const codecs = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy, lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD }

function toMessage (r) {
  return { partition: r.partition, key: r.key, value: r.value, headers: Object.fromEntries(r.headers), timestamp: String(r.timestamp) }
}

function toRecord (partition, m) {
  return { partition, offset: Number(m.offset), key: m.key, value: m.value, headers: Object.entries(m.headers), timestamp: Number(m.timestamp) }
}

class GroupMember extends Member {
  constructor (consumer, topic) {
    super()
    this.consumer = consumer
    this.topic = topic
    consumer.on(consumer.events.GROUP_JOIN, e => { this.partitions = [...(e.payload.memberAssignment[topic] ?? [])].sort() })
    consumer.on(consumer.events.REBALANCING, () => { this.partitions = [] })
    consumer.on(consumer.events.CRASH, e => { this.error = e.payload.error })
  }

  commit (partition, offset) {
    return this.consumer.commitOffsets([{ topic: this.topic, partition, offset: String(offset) }])
  }

  leave () { return this.consumer.disconnect() }
}

class Client {
  constructor () {
    this.kafka = new Kafka({ clientId: 'kafkajs', brokers: env.brokers, logLevel: logLevel.NOTHING, retry: { retries: 2, initialRetryTime: 100 } })
    this.admin = this.kafka.admin()
    this.reads = 0
  }

  async createTopic (topic, numPartitions, config) {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }))
    const made = await this.admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor: env.replication, configEntries }] })
    if (!made) throw new Error('createTopics: the topic exists')
  }

  async countPartitions (topic) {
    const { topics } = await this.admin.fetchTopicMetadata({ topics: [topic] })
    return topics[0].partitions.length
  }

  async withProducer (options, fn) {
    const producer = this.kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, ...options })
    await producer.connect()
    try {
      return await fn(producer)
    } finally {
      await producer.disconnect()
    }
  }

  simple (topic, value) {
    return this.withProducer({ retry: { retries: 10 } }, async producer => {
      const [meta] = await producer.send({ topic, messages: [{ value }] })
      return Number(meta.baseOffset)
    })
  }

  produce (topic, records, { codec = 'none', idempotent = false }) {
    return this.withProducer({ idempotent, maxInFlightRequests: 1, allowAutoTopicCreation: false }, producer =>
      producer.send({ topic, acks: -1, compression: codecs[codec], messages: records.map(toMessage) }))
  }

  async slowProducer () {
    const producer = this.kafka.producer({
      createPartitioner: Partitioners.DefaultPartitioner,
      idempotent: true,
      maxInFlightRequests: 1,
      retry: { retries: 200, initialRetryTime: 100, maxRetryTime: 500 }
    })
    await producer.connect()
    return {
      send: (topic, r) => producer.send({ topic, acks: -1, messages: [toMessage(r)] }),
      close: () => producer.disconnect()
    }
  }

  async read (topic, partition, n, { offset = 0, time } = {}) {
    if (time !== undefined) {
      const found = await this.admin.fetchTopicOffsetsByTimestamp(topic, time)
      offset = Number(found.find(p => p.partition === partition).offset)
    }
    const consumer = this.kafka.consumer({ groupId: `${env.prefix}-read-${process.pid}-${this.reads++}`, allowAutoTopicCreation: false, maxWaitTimeInMs: 200 })
    await consumer.connect()
    const got = []
    try {
      await consumer.subscribe({ topic, fromBeginning: true })
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`read ${got.length} of ${n} records`)), 30_000)
        consumer.on(consumer.events.CRASH, e => reject(e.payload.error))
        consumer.run({
          autoCommit: false,
          eachMessage: async ({ partition: p, message }) => {
            if (p === partition && got.length < n && Number(message.offset) >= offset) got.push(toRecord(p, message))
            if (got.length === n) {
              clearTimeout(timer)
              resolve()
            }
          }
        }).catch(reject)
        consumer.seek({ topic, partition, offset: String(offset) })
      })
    } finally {
      await consumer.disconnect()
    }
    return got
  }

  async join (protocol, groupId, topic) {
    if (protocol !== 'classic') throw new NotApplicable('kafkajs has no KIP-848 groups')
    const consumer = this.kafka.consumer({ groupId, sessionTimeout: 10_000, heartbeatInterval: 300, maxWaitTimeInMs: 200, allowAutoTopicCreation: false })
    const member = new GroupMember(consumer, topic)
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({ autoCommit: false, eachMessage: async ({ partition, message }) => { member.records.push(toRecord(partition, message)) } })
    return member
  }

  async unknown (topic) { await this.admin.fetchTopicMetadata({ topics: [topic] }) }

  isTopicExists (e) { return /the topic exists/.test(e.message) } // createTopics returns false
  isUnknownTopic (e) { return e.type === 'UNKNOWN_TOPIC_OR_PARTITION' }
  isTooLarge (e) { return e.type === 'MESSAGE_TOO_LARGE' }

  adminSteps (topic, group) {
    const a = this.admin
    const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
    return [
      ['describeCluster', () => a.describeCluster(), r => r.clusterId && r.brokers.length > 0],
      ['listTopics', () => a.listTopics(), r => r.includes(topic)],
      ['describeConfigs', () => a.describeConfigs({ resources: [{ ...resource, configNames: ['retention.ms'] }], includeSynonyms: false }),
        r => r.resources[0].configEntries[0].configValue === '604800000'],
      ['createPartitions', () => a.createPartitions({ topicPartitions: [{ topic, count: 3 }] }), async () => await this.countPartitions(topic) === 3],
      ['deleteTopicRecords', () => a.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '5' }] }), () => true],
      ['fetchTopicOffsets', () => a.fetchTopicOffsets(topic), r => r.some(p => p.partition === 0 && p.low === '5' && p.high === '20')],
      ['listGroups', () => a.listGroups(), r => r.groups.some(g => g.groupId === group)],
      ['describeGroups', () => a.describeGroups([group]), r => r.groups[0].state === 'Empty'],
      ['fetchOffsets', () => a.fetchOffsets({ groupId: group, topics: [topic] }), r => r[0].partitions.some(p => p.partition === 0 && p.offset === '7')],
      ['setOffsets', () => a.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: '9' }] }),
        async () => (await a.fetchOffsets({ groupId: group, topics: [topic] }))[0].partitions.some(p => p.partition === 0 && p.offset === '9')],
      ['deleteGroups', () => a.deleteGroups([group]), r => r[0].errorCode === 0],
      ['deleteTopics', () => a.deleteTopics({ topics: [topic] }), async () => !(await a.listTopics()).includes(topic)]
    ]
  }

  close () { return this.admin.disconnect() }
}

const client = new Client()
await client.admin.connect()
await main(client, installed('kafkajs'))
