package main

import (
	"fmt"
	"slices"
)

// firstScenarios are run by one program of each client, in this order.
var firstScenarios = []string{
	"create", "first-use", "none", "gzip", "snappy", "lz4", "zstd", "idempotent",
	"from-start", "from-offset", "from-time", "group-classic", "group-consumer",
	"commit-resume", "admin", "unknown-topic", "too-large",
}

// toolScenarios are those of Kafka's own console tools.
var toolScenarios = []string{"topics", "console-producer", "console-consumer", "consumer-groups", "configs"}

const failover = "failover"

// client is a library for Kafka, or a tool, and the program that uses it.
type client struct {
	name      string
	scenarios []string              // but for failover
	failover  bool                  // whether it has that too
	prepare   func(*workshop) error // installs and builds it; may be nil
	command   func(*workshop) []string
	topics    []topic // made before its program starts, for clients that make none
	ownData   bool    // what it sends are not the samples, and in failover to one partition
	repeats   bool    // it has no idempotent producer, and may send twice what was not acknowledged
}

// topic is one to be made; its name is that of a scenario behind the client's.
type topic struct {
	scenario   string
	partitions int32
	config     map[string]*string
}

// clients are all there are, slowest first.
func clients() []*client {
	all := []*client{
		{name: "kafka-tools", prepare: consoleTools, command: script("tools", "run.sh"), scenarios: toolScenarios},
		{name: "kafka-clients", prepare: javaProgram, command: java},
		{name: "sarama", prepare: goProgram("sarama"), command: binary("sarama")},
		{name: "franz-go", prepare: goProgram("franz"), command: binary("franz")},
		{name: "kafka-go", prepare: goProgram("kafkago"), command: binary("kafkago"), repeats: true},
		{name: "kafka-python", prepare: pythonPackages, command: python("kafka_python.py")},
		{name: "confluent-kafka", prepare: pythonPackages, command: python("confluent.py")},
		{name: "php", prepare: phpWithLibrdkafka, command: php},
		{name: "kafkajs", prepare: npmPackages, command: javascript("kafkajs.mjs")},
		{name: "platformatic", prepare: npmPackages, command: javascript("platformatic.mjs")},
	}
	small := "5000"
	kcatTopics := []topic{
		{scenario: "group-classic", partitions: 4},
		{scenario: "too-large", partitions: 1, config: map[string]*string{"max.message.bytes": &small}},
		{scenario: failover, partitions: 3},
	}
	all = append(all, &client{name: "kcat", prepare: kcat, command: script("kcat", "run.sh"), topics: kcatTopics, ownData: true})
	for _, c := range all {
		if c.scenarios == nil {
			c.scenarios, c.failover = firstScenarios, true
		}
	}
	return all
}

// only keeps those scenarios of a client that are wanted; none given are all.
func (c *client) only(wanted []string) {
	if len(wanted) == 0 {
		return
	}
	c.scenarios = slices.DeleteFunc(slices.Clone(c.scenarios), func(s string) bool { return !slices.Contains(wanted, s) })
	c.failover = c.failover && slices.Contains(wanted, failover)
}

// sentInFailover is what the client sends to a partition in failover. Those that are not
// of a partition end it with a record of their own, to see that there is nothing behind.
func (c *client) sentInFailover(partition, records int) (values []string) {
	if c.ownData {
		for i := range records {
			values = append(values, fmt.Sprint(i))
		}
		return values[:(1-min(partition, 1))*records]
	}
	for i := partition; i < records; i += failoverPartitions {
		values = append(values, fmt.Sprint(i))
	}
	return append(values, "end")
}
