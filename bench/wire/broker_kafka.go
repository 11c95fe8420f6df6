package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
)

// kafkaJVM is what Kafka's own start script (kafka-server-start.sh) sets.
var kafkaJVM = []string{"-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
	"-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true"}

// kafka is Apache Kafka's broker, one node in KRaft mode, with its defaults or with
// an fsync for each batch.
func kafka(flush bool) system {
	s := system{name: "kafka"}
	if flush {
		s.name = "kafka-flush"
	}
	s.prepare = func(ctx context.Context, w *workshop, dir string, port int) error {
		controller, err := freePort()
		if err != nil {
			return err
		}
		config := fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://127.0.0.1:%[1]d
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=%[3]s
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
`, port, controller, filepath.Join(dir, "data"))
		if flush {
			config += "log.flush.interval.messages=1\n" // flush.messages of every topic
		}
		if err := os.WriteFile(filepath.Join(dir, "server.properties"), []byte(config), 0o644); err != nil {
			return err
		}
		id := base64.RawURLEncoding.EncodeToString([]byte("leat-bench-wire."))
		return w.do(ctx, "java", "-cp", w.kafka, "kafka.tools.StorageTool", "format",
			"-t", id, "-c", filepath.Join(dir, "server.properties"))
	}
	s.command = func(w *workshop, dir string, _ int) []string {
		args := append([]string{"java"}, kafkaJVM...)
		return append(args, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", w.kafka,
			"kafka.Kafka", filepath.Join(dir, "server.properties"))
	}
	return s
}
