// The command run runs Kafka's clients in many languages against leat: it builds and starts
// a node, lets the program of each client go through the scenarios, checks what they
// stored, and prints a table. It ends with status 1 if anything failed, also if a
// program did not report a scenario.
//
//	go run . -only sarama,java -scenarios gzip,admin -v
//
// Programs are told what to do by environment variables and report in lines on their
// standard output; package scenario, beside this one, describes both. What clients
// need is installed below clients/.cache and kept there.
//
// The scenarios run first, each client in a program of its own and a few of them at a
// time. Last comes failover, with all clients at once: each sends records for several
// seconds, so that something can happen to the cluster half way.
package main
