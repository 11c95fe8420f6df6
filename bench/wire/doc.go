// Command wire measures leat beside Apache Kafka and kfake as brokers: each is a
// process of its own, and one client process, this one, loads them over loopback
// TCP with the same Kafka client (kgo).
//
// The systems take turns in each round, in an order that rotates; the first round is
// thrown away, every round has the same amounts, and the file systems are synced
// before each turn. What is told is the median of the other rounds. It prints lines in
// Go's benchmark format as it goes, for benchstat, and in the end a table in Markdown
// with what leat is to reach.
//
//	go run ./wire                    # the whole table
//	go run ./wire -only sync -rounds 3 -systems leat,kafka
//
// Kafka comes from Maven Central into a directory beside this file that git ignores;
// it takes Java and Maven. README.md has what each figure means.
package main
