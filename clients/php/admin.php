<?php
// librdkafka's administrative calls through FFI.

declare(strict_types=1);

require_once __DIR__ . '/librdkafka.php';

final class Admin extends Handle
{
    public function __construct()
    {
        parent::__construct(PRODUCER, []);
    }

    /** Makes a call with one thing and hands its result to read. */
    private function call(string $name, string $type, ?FFI\CData $thing, callable $read): mixed
    {
        $f = self::ffi();
        $queue = $f->rd_kafka_queue_new($this->rk);
        try {
            if ($thing === null) {
                $f->{"rd_kafka_$name"}($this->rk, null, $queue);
            } else {
                $things = $f->new("rd_kafka_{$type}_t *[1]");
                $things[0] = $thing;
                $f->{"rd_kafka_$name"}($this->rk, $things, 1, null, $queue);
                $f->{"rd_kafka_{$type}_destroy"}($thing);
            }
            $event = $f->rd_kafka_queue_poll($queue, 30000);
            if ($event === null) {
                throw new KafkaException("$name: no answer");
            }
            try {
                self::check($f->rd_kafka_event_error($event), "$name:");
                return $read($event);
            } finally {
                $f->rd_kafka_event_destroy($event);
            }
        } finally {
            $f->rd_kafka_queue_destroy($queue);
        }
    }

    /** Makes a call whose result is one of a topic. */
    private function topicCall(string $name, string $type, FFI\CData $thing): void
    {
        $this->call($name, $type, $thing, function ($event) use ($name) {
            $count = self::ffi()->new('size_t');
            $results = self::ffi()->{"rd_kafka_{$name}_result_topics"}($event, FFI::addr($count));
            self::check(self::ffi()->rd_kafka_topic_result_error($results[0]), "$name:");
        });
    }

    /** @param array<string, string> $config */
    public function createTopic(string $topic, int $partitions, array $config): void
    {
        $new = self::ffi()->rd_kafka_NewTopic_new($topic, $partitions, (int) getenv('REPLICATION'), null, 0);
        foreach ($config as $name => $value) {
            self::check(self::ffi()->rd_kafka_NewTopic_set_config($new, $name, $value));
        }
        $this->topicCall('CreateTopics', 'NewTopic', $new);
    }

    public function deleteTopic(string $topic): void
    {
        $this->topicCall('DeleteTopics', 'DeleteTopic', self::ffi()->rd_kafka_DeleteTopic_new($topic));
    }

    public function createPartitions(string $topic, int $total): void
    {
        $this->topicCall('CreatePartitions', 'NewPartitions', self::ffi()->rd_kafka_NewPartitions_new($topic, $total, null, 0));
    }

    /** Deletes the records before an offset and returns the lowest that is left. */
    public function deleteRecords(string $topic, int $partition, int $offset): int
    {
        $request = $this->withList($topic, [$partition => $offset], fn ($list) => self::ffi()->rd_kafka_DeleteRecords_new($list));
        return $this->call('DeleteRecords', 'DeleteRecords', $request, function ($event) {
            $list = self::ffi()->rd_kafka_DeleteRecords_result_offsets($event);
            self::check($list->elems[0]->err, 'DeleteRecords:');
            return $list->elems[0]->offset;
        });
    }

    /** @return array<string, string> */
    public function topicConfigs(string $topic): array
    {
        $f = self::ffi();
        return $this->call('DescribeConfigs', 'ConfigResource', $f->rd_kafka_ConfigResource_new(CONFIG_OF_TOPIC, $topic), function ($event) use ($f) {
            $count = $f->new('size_t');
            $resources = $f->rd_kafka_DescribeConfigs_result_resources($event, FFI::addr($count));
            $entries = $f->rd_kafka_ConfigResource_configs($resources[0], FFI::addr($count));
            $configs = [];
            for ($i = 0; $i < $count->cdata; $i++) {
                $configs[$f->rd_kafka_ConfigEntry_name($entries[$i])] = $f->rd_kafka_ConfigEntry_value($entries[$i]);
            }
            return $configs;
        });
    }

    /** @return list<string> */
    public function groups(): array
    {
        return $this->call('ListConsumerGroups', '', null, function ($event) {
            $count = self::ffi()->new('size_t');
            $list = self::ffi()->rd_kafka_ListConsumerGroups_result_valid($event, FFI::addr($count));
            $groups = [];
            for ($i = 0; $i < $count->cdata; $i++) {
                $groups[] = self::ffi()->rd_kafka_ConsumerGroupListing_group_id($list[$i]);
            }
            return $groups;
        });
    }

    public function deleteGroup(string $group): void
    {
        $this->call('DeleteGroups', 'DeleteGroup', self::ffi()->rd_kafka_DeleteGroup_new($group), function ($event) {
            $count = self::ffi()->new('size_t');
            $error = self::ffi()->rd_kafka_group_result_error(self::ffi()->rd_kafka_DeleteGroups_result_groups($event, FFI::addr($count))[0]);
            self::check($error === null ? 0 : self::ffi()->rd_kafka_error_code($error), 'DeleteGroups:');
        });
    }

    public function clusterId(): string
    {
        $id = self::ffi()->rd_kafka_clusterid($this->rk, 10000);
        if ($id === null) {
            throw new KafkaException('no cluster id');
        }
        $text = FFI::string($id);
        self::ffi()->rd_kafka_mem_free($this->rk, $id);
        return $text;
    }

    /** @return array<string, int> the partitions of each topic */
    public function topics(): array
    {
        $metadata = self::ffi()->new('const rd_kafka_metadata_t *');
        self::check(self::ffi()->rd_kafka_metadata($this->rk, 1, null, FFI::addr($metadata), 10000), 'metadata:');
        $topics = [];
        for ($i = 0; $i < $metadata->topic_cnt; $i++) {
            $topics[FFI::string($metadata->topics[$i]->topic)] = $metadata->topics[$i]->partition_cnt;
        }
        self::ffi()->rd_kafka_metadata_destroy($metadata);
        return $topics;
    }

    /** @return array{int, int} */
    public function watermarks(string $topic, int $partition): array
    {
        [$low, $high] = [self::ffi()->new('int64_t'), self::ffi()->new('int64_t')];
        self::check(self::ffi()->rd_kafka_query_watermark_offsets($this->rk, $topic, $partition, FFI::addr($low), FFI::addr($high), 10000));
        return [$low->cdata, $high->cdata];
    }
}
