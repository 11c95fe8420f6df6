<?php
// librdkafka through FFI: what the scenarios need of it, as a few classes.

declare(strict_types=1);

const LIBRDKAFKA = <<<'C'
typedef struct rd_kafka_s rd_kafka_t;
typedef struct rd_kafka_conf_s rd_kafka_conf_t;
typedef struct rd_kafka_queue_s rd_kafka_queue_t;
typedef struct rd_kafka_event_s rd_kafka_event_t;
typedef struct rd_kafka_topic_s rd_kafka_topic_t;
typedef struct rd_kafka_headers_s rd_kafka_headers_t;
typedef struct rd_kafka_error_s rd_kafka_error_t;
typedef struct rd_kafka_AdminOptions_s rd_kafka_AdminOptions_t;
typedef struct rd_kafka_NewTopic_s rd_kafka_NewTopic_t;
typedef struct rd_kafka_DeleteTopic_s rd_kafka_DeleteTopic_t;
typedef struct rd_kafka_NewPartitions_s rd_kafka_NewPartitions_t;
typedef struct rd_kafka_DeleteRecords_s rd_kafka_DeleteRecords_t;
typedef struct rd_kafka_DeleteGroup_s rd_kafka_DeleteGroup_t;
typedef struct rd_kafka_ConfigResource_s rd_kafka_ConfigResource_t;
typedef struct rd_kafka_ConfigEntry_s rd_kafka_ConfigEntry_t;
typedef struct rd_kafka_topic_result_s rd_kafka_topic_result_t;
typedef struct rd_kafka_group_result_s rd_kafka_group_result_t;
typedef struct rd_kafka_ConsumerGroupListing_s rd_kafka_ConsumerGroupListing_t;

typedef struct { int err; rd_kafka_topic_t *rkt; int32_t partition; void *payload; size_t len; void *key; size_t key_len;
  int64_t offset; void *_private; } rd_kafka_message_t;
typedef struct { char *topic; int32_t partition; int64_t offset; void *metadata; size_t metadata_size; void *opaque; int err;
  void *_private; } rd_kafka_topic_partition_t;
typedef struct { int cnt; int size; rd_kafka_topic_partition_t *elems; } rd_kafka_topic_partition_list_t;
typedef struct { int32_t id; int err; int32_t leader; int replica_cnt; int32_t *replicas; int isr_cnt; int32_t *isrs; } rd_kafka_metadata_partition_t;
typedef struct { char *topic; int partition_cnt; rd_kafka_metadata_partition_t *partitions; int err; } rd_kafka_metadata_topic_t;
typedef struct { int32_t id; char *host; int port; } rd_kafka_metadata_broker_t;
typedef struct { int broker_cnt; rd_kafka_metadata_broker_t *brokers; int topic_cnt; rd_kafka_metadata_topic_t *topics;
  int32_t orig_broker_id; char *orig_broker_name; } rd_kafka_metadata_t;

const char *rd_kafka_version_str(void);
const char *rd_kafka_err2str(int err);
rd_kafka_conf_t *rd_kafka_conf_new(void);
int rd_kafka_conf_set(rd_kafka_conf_t *conf, const char *name, const char *value, char *errstr, size_t errstr_size);
void rd_kafka_conf_set_events(rd_kafka_conf_t *conf, int events);
rd_kafka_t *rd_kafka_new(int type, rd_kafka_conf_t *conf, char *errstr, size_t errstr_size);
void rd_kafka_destroy(rd_kafka_t *rk);
int rd_kafka_flush(rd_kafka_t *rk, int timeout_ms);
rd_kafka_queue_t *rd_kafka_queue_new(rd_kafka_t *rk);
rd_kafka_queue_t *rd_kafka_queue_get_main(rd_kafka_t *rk);
void rd_kafka_queue_destroy(rd_kafka_queue_t *rkqu);
rd_kafka_event_t *rd_kafka_queue_poll(rd_kafka_queue_t *rkqu, int timeout_ms);
int rd_kafka_event_type(const rd_kafka_event_t *rkev);
int rd_kafka_event_error(rd_kafka_event_t *rkev);
const char *rd_kafka_event_error_string(rd_kafka_event_t *rkev);
const rd_kafka_message_t *rd_kafka_event_message_next(rd_kafka_event_t *rkev);
void rd_kafka_event_destroy(rd_kafka_event_t *rkev);

int rd_kafka_producev(rd_kafka_t *rk, ...);
rd_kafka_headers_t *rd_kafka_headers_new(size_t initial_count);
int rd_kafka_header_add(rd_kafka_headers_t *hdrs, const char *name, ssize_t name_size, const char *value, ssize_t value_size);
int rd_kafka_message_headers(const rd_kafka_message_t *rkmessage, rd_kafka_headers_t **hdrsp);
int rd_kafka_header_get_all(const rd_kafka_headers_t *hdrs, size_t idx, const char **namep, const void **valuep, size_t *sizep);
int64_t rd_kafka_message_timestamp(const rd_kafka_message_t *rkmessage, int *tstype);
void rd_kafka_message_destroy(rd_kafka_message_t *rkmessage);

int rd_kafka_poll_set_consumer(rd_kafka_t *rk);
rd_kafka_message_t *rd_kafka_consumer_poll(rd_kafka_t *rk, int timeout_ms);
int rd_kafka_consumer_close(rd_kafka_t *rk);
int rd_kafka_subscribe(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *topics);
int rd_kafka_assign(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *partitions);
int rd_kafka_assignment(rd_kafka_t *rk, rd_kafka_topic_partition_list_t **partitions);
int rd_kafka_commit(rd_kafka_t *rk, const rd_kafka_topic_partition_list_t *offsets, int async);
int rd_kafka_committed(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *partitions, int timeout_ms);
int rd_kafka_offsets_for_times(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *offsets, int timeout_ms);
int rd_kafka_query_watermark_offsets(rd_kafka_t *rk, const char *topic, int32_t partition, int64_t *low, int64_t *high, int timeout_ms);
rd_kafka_topic_partition_list_t *rd_kafka_topic_partition_list_new(int size);
void rd_kafka_topic_partition_list_destroy(rd_kafka_topic_partition_list_t *rkparlist);
rd_kafka_topic_partition_t *rd_kafka_topic_partition_list_add(rd_kafka_topic_partition_list_t *rktparlist, const char *topic, int32_t partition);
int rd_kafka_metadata(rd_kafka_t *rk, int all_topics, rd_kafka_topic_t *only_rkt, const rd_kafka_metadata_t **metadatap, int timeout_ms);
void rd_kafka_metadata_destroy(const rd_kafka_metadata_t *metadata);
char *rd_kafka_clusterid(rd_kafka_t *rk, int timeout_ms);
void rd_kafka_mem_free(rd_kafka_t *rk, void *ptr);

rd_kafka_NewTopic_t *rd_kafka_NewTopic_new(const char *topic, int num_partitions, int replication_factor, char *errstr, size_t errstr_size);
int rd_kafka_NewTopic_set_config(rd_kafka_NewTopic_t *new_topic, const char *name, const char *value);
void rd_kafka_NewTopic_destroy(rd_kafka_NewTopic_t *new_topic);
void rd_kafka_CreateTopics(rd_kafka_t *rk, rd_kafka_NewTopic_t **new_topics, size_t cnt, const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *rkqu);
const rd_kafka_topic_result_t **rd_kafka_CreateTopics_result_topics(const rd_kafka_event_t *result, size_t *cntp);
rd_kafka_DeleteTopic_t *rd_kafka_DeleteTopic_new(const char *topic);
void rd_kafka_DeleteTopic_destroy(rd_kafka_DeleteTopic_t *del_topic);
void rd_kafka_DeleteTopics(rd_kafka_t *rk, rd_kafka_DeleteTopic_t **del_topics, size_t cnt, const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *rkqu);
const rd_kafka_topic_result_t **rd_kafka_DeleteTopics_result_topics(const rd_kafka_event_t *result, size_t *cntp);
rd_kafka_NewPartitions_t *rd_kafka_NewPartitions_new(const char *topic, size_t new_total_cnt, char *errstr, size_t errstr_size);
void rd_kafka_NewPartitions_destroy(rd_kafka_NewPartitions_t *new_parts);
void rd_kafka_CreatePartitions(rd_kafka_t *rk, rd_kafka_NewPartitions_t **new_parts, size_t cnt, const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *rkqu);
const rd_kafka_topic_result_t **rd_kafka_CreatePartitions_result_topics(const rd_kafka_event_t *result, size_t *cntp);
int rd_kafka_topic_result_error(const rd_kafka_topic_result_t *topicres);
const char *rd_kafka_topic_result_error_string(const rd_kafka_topic_result_t *topicres);
rd_kafka_DeleteRecords_t *rd_kafka_DeleteRecords_new(const rd_kafka_topic_partition_list_t *before_offsets);
void rd_kafka_DeleteRecords_destroy(rd_kafka_DeleteRecords_t *del_records);
void rd_kafka_DeleteRecords(rd_kafka_t *rk, rd_kafka_DeleteRecords_t **del_records, size_t cnt, const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *rkqu);
const rd_kafka_topic_partition_list_t *rd_kafka_DeleteRecords_result_offsets(const rd_kafka_event_t *result);
rd_kafka_ConfigResource_t *rd_kafka_ConfigResource_new(int restype, const char *resname);
void rd_kafka_ConfigResource_destroy(rd_kafka_ConfigResource_t *config);
void rd_kafka_DescribeConfigs(rd_kafka_t *rk, rd_kafka_ConfigResource_t **configs, size_t config_cnt, const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *rkqu);
const rd_kafka_ConfigResource_t **rd_kafka_DescribeConfigs_result_resources(const rd_kafka_event_t *result, size_t *cntp);
const rd_kafka_ConfigEntry_t **rd_kafka_ConfigResource_configs(const rd_kafka_ConfigResource_t *config, size_t *cntp);
const char *rd_kafka_ConfigEntry_name(const rd_kafka_ConfigEntry_t *entry);
const char *rd_kafka_ConfigEntry_value(const rd_kafka_ConfigEntry_t *entry);
void rd_kafka_ListConsumerGroups(rd_kafka_t *rk, const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *rkqu);
const rd_kafka_ConsumerGroupListing_t **rd_kafka_ListConsumerGroups_result_valid(const rd_kafka_event_t *result, size_t *cntp);
const char *rd_kafka_ConsumerGroupListing_group_id(const rd_kafka_ConsumerGroupListing_t *grplist);
rd_kafka_DeleteGroup_t *rd_kafka_DeleteGroup_new(const char *group);
void rd_kafka_DeleteGroup_destroy(rd_kafka_DeleteGroup_t *del_group);
void rd_kafka_DeleteGroups(rd_kafka_t *rk, rd_kafka_DeleteGroup_t **del_groups, size_t cnt, const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *rkqu);
const rd_kafka_group_result_t **rd_kafka_DeleteGroups_result_groups(const rd_kafka_event_t *result, size_t *cntp);
const rd_kafka_error_t *rd_kafka_group_result_error(const rd_kafka_group_result_t *groupres);
int rd_kafka_error_code(const rd_kafka_error_t *error);
C;

const PRODUCER = 0, CONSUMER = 1;
const EVENT_DR = 1;
const VTYPE_END = 0, VTYPE_TOPIC = 1, VTYPE_PARTITION = 3, VTYPE_VALUE = 4, VTYPE_KEY = 5, VTYPE_MSGFLAGS = 7, VTYPE_TIMESTAMP = 8, VTYPE_HEADERS = 10;
const MSG_F_COPY = 2;
const UNKNOWN_TOPIC_OR_PART = 3, MSG_SIZE_TOO_LARGE = 10, TOPIC_ALREADY_EXISTS = 36;
const CONFIG_OF_TOPIC = 2;

/** An error with librdkafka's code. */
final class KafkaException extends Exception
{
}

/** A partition's record as it is sent and read. */
final class Record
{
    /** @param list<array{string, string}> $headers */
    public function __construct(
        public int $partition,
        public ?int $offset,
        public ?string $key,
        public string $value,
        public array $headers,
        public ?int $timestamp,
    ) {
    }
}

/** A handle of librdkafka: a producer or a consumer. */
class Handle
{
    protected static ?FFI $ffi = null;
    protected FFI\CData $rk;

    /** @param array<string, string|int> $config */
    public function __construct(private int $type, array $config)
    {
        $f = self::ffi();
        $conf = $f->rd_kafka_conf_new();
        $text = $f->new('char[512]');
        foreach (['bootstrap.servers' => getenv('BOOTSTRAP')] + $config as $name => $value) {
            if ($f->rd_kafka_conf_set($conf, $name, (string) $value, $text, 512) !== 0) {
                throw new KafkaException(FFI::string($text));
            }
        }
        $f->rd_kafka_conf_set_events($conf, EVENT_DR);
        $rk = $f->rd_kafka_new($type, $conf, $text, 512);
        if ($rk === null) {
            throw new KafkaException(FFI::string($text));
        }
        $this->rk = $rk;
        if ($type === CONSUMER) {
            self::check($f->rd_kafka_poll_set_consumer($rk));
        }
    }

    public static function ffi(): FFI
    {
        return self::$ffi ??= FFI::cdef(LIBRDKAFKA, 'librdkafka.so.1');
    }

    public static function check(int $err, string $what = ''): void
    {
        if ($err !== 0) {
            throw new KafkaException($what . ' ' . self::ffi()->rd_kafka_err2str($err), $err);
        }
    }

    /** Ends the handle; a consumer leaves its group. */
    public function close(): void
    {
        if ($this->type === CONSUMER) {
            self::check(self::ffi()->rd_kafka_consumer_close($this->rk));
        }
        self::ffi()->rd_kafka_destroy($this->rk);
    }

    /** Calls fn with a list of partitions: [partition => offset]. */
    protected function withList(string $topic, array $offsets, callable $fn): mixed
    {
        $list = self::ffi()->rd_kafka_topic_partition_list_new(count($offsets));
        foreach ($offsets as $partition => $offset) {
            self::ffi()->rd_kafka_topic_partition_list_add($list, $topic, $partition)->offset = $offset;
        }
        try {
            return $fn($list);
        } finally {
            self::ffi()->rd_kafka_topic_partition_list_destroy($list);
        }
    }
}

final class Producer extends Handle
{
    public function __construct(array $config)
    {
        parent::__construct(PRODUCER, $config);
    }

    /** Sends records and returns their offsets when they are acknowledged. */
    public function send(string $topic, array $records): array
    {
        $f = self::ffi();
        foreach ($records as $r) {
            $args = [VTYPE_TOPIC, $topic, VTYPE_MSGFLAGS, MSG_F_COPY, VTYPE_VALUE, $r->value, strlen($r->value)];
            if ($r->partition >= 0) {
                array_push($args, VTYPE_PARTITION, $r->partition);
            }
            if ($r->timestamp !== null) {
                array_push($args, VTYPE_TIMESTAMP, $r->timestamp);
            }
            if ($r->key !== null) {
                array_push($args, VTYPE_KEY, $r->key, strlen($r->key));
            }
            if ($r->headers) {
                $headers = $f->rd_kafka_headers_new(count($r->headers)); // librdkafka's from here on
                foreach ($r->headers as [$name, $value]) {
                    $f->rd_kafka_header_add($headers, $name, strlen($name), $value, strlen($value));
                }
                array_push($args, VTYPE_HEADERS, $headers);
            }
            self::check($f->rd_kafka_producev($this->rk, ...[...$args, VTYPE_END]));
        }
        $queue = $f->rd_kafka_queue_get_main($this->rk);
        $offsets = [];
        $failed = 0;
        for ($end = time() + 70; count($offsets) < count($records) && time() < $end;) {
            $event = $f->rd_kafka_queue_poll($queue, 500);
            if ($event === null) {
                continue;
            }
            if ($f->rd_kafka_event_type($event) === EVENT_DR) {
                while (($m = $f->rd_kafka_event_message_next($event)) !== null) {
                    $offsets[] = $m->offset;
                    $failed = $failed ?: $m->err;
                }
            }
            $f->rd_kafka_event_destroy($event);
        }
        $f->rd_kafka_queue_destroy($queue);
        self::check($failed, 'delivery:');
        if (count($offsets) < count($records)) {
            throw new KafkaException('records are not delivered');
        }
        return $offsets;
    }
}

final class Consumer extends Handle
{
    public function __construct(array $config)
    {
        parent::__construct(CONSUMER, $config + ['enable.auto.commit' => 'false', 'auto.offset.reset' => 'earliest']);
    }

    public function subscribe(string $topic): void
    {
        $this->withList($topic, [-1 => 0], fn ($list) => self::check(self::ffi()->rd_kafka_subscribe($this->rk, $list)));
    }

    public function assign(string $topic, int $partition, int $offset): void
    {
        $this->withList($topic, [$partition => $offset], fn ($list) => self::check(self::ffi()->rd_kafka_assign($this->rk, $list)));
    }

    public function offsetForTime(string $topic, int $partition, int $millis): int
    {
        return $this->withList($topic, [$partition => $millis], function ($list) {
            self::check(self::ffi()->rd_kafka_offsets_for_times($this->rk, $list, 10000));
            self::check($list->elems[0]->err);
            return $list->elems[0]->offset;
        });
    }

    /** @return list<int> the partitions that it has now, sorted */
    public function partitions(): array
    {
        $f = self::ffi();
        $list = $f->new('rd_kafka_topic_partition_list_t *');
        self::check($f->rd_kafka_assignment($this->rk, FFI::addr($list)));
        $partitions = [];
        for ($i = 0; $i < $list->cnt; $i++) {
            $partitions[] = $list->elems[$i]->partition;
        }
        $f->rd_kafka_topic_partition_list_destroy($list);
        sort($partitions);
        return $partitions;
    }

    public function commit(string $topic, int $partition, int $offset): void
    {
        $this->withList($topic, [$partition => $offset], fn ($list) => self::check(self::ffi()->rd_kafka_commit($this->rk, $list, 0)));
    }

    public function committed(string $topic, int $partition): int
    {
        return $this->withList($topic, [$partition => 0], function ($list) {
            self::check(self::ffi()->rd_kafka_committed($this->rk, $list, 10000));
            return $list->elems[0]->offset;
        });
    }

    /** The next record, or null if there is none for so long. */
    public function poll(int $millis): ?Record
    {
        $f = self::ffi();
        $m = $f->rd_kafka_consumer_poll($this->rk, $millis);
        if ($m === null) {
            return null;
        }
        try {
            self::check($m->err, 'poll:');
            $headers = [];
            $list = $f->new('rd_kafka_headers_t *');
            if ($f->rd_kafka_message_headers($m, FFI::addr($list)) === 0) {
                [$name, $value, $size] = [$f->new('const char *'), $f->new('const void *'), $f->new('size_t')];
                for ($i = 0; $f->rd_kafka_header_get_all($list, $i, FFI::addr($name), FFI::addr($value), FFI::addr($size)) === 0; $i++) {
                    $headers[] = [FFI::string($name), FFI::string($value, $size->cdata)];
                }
            }
            $key = $m->key === null ? null : FFI::string($m->key, $m->key_len);
            $value = $m->len === 0 ? '' : FFI::string($m->payload, $m->len);
            return new Record($m->partition, $m->offset, $key, $value, $headers, $f->rd_kafka_message_timestamp($m, null));
        } finally {
            $f->rd_kafka_message_destroy($m);
        }
    }
}
