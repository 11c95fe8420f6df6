<?php
// The program of librdkafka in PHP, through FFI; package scenario, in Go, has the same
// scenarios and says how they are reported.

declare(strict_types=1);

require_once __DIR__ . '/admin.php';

/** The library does not have this. */
final class NotApplicable extends Exception
{
}

function sample(int $partition, int $i): Record
{
    return new Record(
        $partition,
        $i,
        $i % 4 === 3 ? null : sprintf('key-%04d', $i),
        sprintf('value-%04d-é✓-', $i) . str_repeat('abcdefghij', $i % 7 * 10),
        [['index', (string) $i], ['bytes', "\x00\x01\xfe\xff"]],
        (int) getenv('START_MS') + $i * 1000,
    );
}

/** @return list<Record> */
function samples(int $partition, int $lo, int $hi): array
{
    return array_map(fn (int $i) => sample($partition, $i), range($lo, $hi - 1));
}

function text(int $partition, string $value): Record
{
    return new Record($partition, null, null, $value, [], null);
}

function expect(mixed $got, mixed $want, string $what = 'answer'): void
{
    if (serialize($got) !== serialize($want)) {
        throw new Exception("$what: " . json_encode($got, JSON_INVALID_UTF8_SUBSTITUTE) . ', want ' . json_encode($want, JSON_INVALID_UTF8_SUBSTITUTE));
    }
}

function fails(int $code, callable $fn): void
{
    try {
        $fn();
    } catch (KafkaException $e) {
        if ($e->getCode() === $code) {
            return;
        }
        throw $e;
    }
    throw new Exception("no error $code");
}

/** Sends records with a producer of their own. */
function produce(string $topic, array $records, array $config = []): array
{
    $producer = new Producer($config + ['acks' => 'all', 'linger.ms' => 20, 'message.max.bytes' => 10 << 20]);
    try {
        return $producer->send($topic, $records);
    } finally {
        $producer->close();
    }
}

/** @return list<Record> */
function read(string $topic, int $partition, int $n, int $offset = 0, ?int $millis = null): array
{
    $consumer = new Consumer(['group.id' => 'none']);
    try {
        $consumer->assign($topic, $partition, $millis === null ? $offset : $consumer->offsetForTime($topic, $partition, $millis));
        $got = [];
        for ($end = time() + 30; count($got) < $n && time() < $end;) {
            $record = $consumer->poll(500);
            if ($record !== null) {
                $got[] = $record;
            }
        }
        return $got;
    } finally {
        $consumer->close();
    }
}

function joinGroup(string $group, string $topic): Consumer
{
    $consumer = new Consumer(['group.id' => $group, 'session.timeout.ms' => 10000, 'heartbeat.interval.ms' => 300]);
    $consumer->subscribe($topic);
    return $consumer;
}

/**
 * Polls the members in turn until a condition holds.
 *
 * @param list<Consumer> $members
 * @return list<list<Record>> what each has read
 */
function pollUntil(string $what, array $members, callable $cond): array
{
    $got = array_fill(0, count($members), []);
    for ($end = time() + 60; !$cond($got);) {
        if (time() > $end) {
            throw new Exception("waiting for $what: " . json_encode(array_map(fn ($m) => $m->partitions(), $members)));
        }
        foreach ($members as $i => $m) {
            $record = $m->poll(20);
            if ($record !== null) {
                $got[$i][] = $record;
            }
        }
    }
    return $got;
}

/** The records [lo, hi) of each partition: each once, in order. */
function checkShare(array $records, array $partitions, int $lo, int $hi): void
{
    $by = array_fill_keys($partitions, []);
    foreach ($records as $r) {
        if (!isset($by[$r->partition])) {
            throw new Exception("partition $r->partition came to the member of " . json_encode($partitions));
        }
        $by[$r->partition][] = $r;
    }
    foreach ($partitions as $p) {
        expect($by[$p], samples($p, $lo, $hi), "partition $p");
    }
}

final class Scenarios
{
    private Admin $admin;

    public function __construct()
    {
        $this->admin = new Admin();
    }

    public function run(string $name): string
    {
        $topic = getenv('PREFIX') . '-' . $name;
        return match ($name) {
            'create' => $this->create($topic),
            'first-use' => $this->firstUse($topic),
            'none', 'gzip', 'snappy', 'lz4', 'zstd' => $this->roundTrip($topic, ['compression.type' => $name], 40),
            'idempotent' => $this->roundTrip($topic, ['enable.idempotence' => 'true'], 200),
            'from-start' => $this->readFrom($topic, 0),
            'from-offset' => $this->readFrom($topic, 37, 37),
            'from-time' => $this->readFrom($topic, 42, 0, (int) getenv('START_MS') + 41500),
            'group-classic' => $this->group($topic),
            'group-consumer' => throw new NotApplicable('librdkafka 2.0 has no KIP-848 groups'),
            'commit-resume' => $this->commitResume($topic),
            'admin' => $this->admin($topic),
            'unknown-topic' => $this->unknownTopic($topic),
            'too-large' => $this->tooLarge($topic),
            'failover' => $this->failover($topic),
        };
    }

    private function create(string $topic): string
    {
        $config = ['retention.ms' => '86400000', 'max.message.bytes' => '200000'];
        $this->admin->createTopic($topic, 3, $config);
        expect($this->admin->topics()[$topic], 3, 'partitions');
        fails(TOPIC_ALREADY_EXISTS, fn () => $this->admin->createTopic($topic, 3, $config));
        return '';
    }

    private function firstUse(string $topic): string
    {
        $producer = new Producer([]);
        expect($producer->send($topic, [text(-1, 'FOOBAR')]), [0], 'offsets');
        $producer->close();
        if ($this->admin->topics()[$topic] === 1) {
            $record = read($topic, 0, 1)[0];
            expect([$record->key, $record->value], [null, 'FOOBAR']);
        }
        return '';
    }

    private function roundTrip(string $topic, array $config, int $n): string
    {
        $this->admin->createTopic($topic, 1, []);
        produce($topic, samples(0, 0, $n), $config);
        expect(read($topic, 0, $n), samples(0, 0, $n), 'records');
        return '';
    }

    private function readFrom(string $topic, int $first, int $offset = 0, ?int $millis = null): string
    {
        $this->admin->createTopic($topic, 2, []);
        foreach ([0, 1] as $p) {
            produce($topic, samples($p, 0, 60), ['compression.type' => 'gzip']);
        }
        expect(read($topic, 1, 60 - $first, $offset, $millis), samples(1, $first, 60), 'records');
        return '';
    }

    private function group(string $topic): string
    {
        $all = [0, 1, 2, 3];
        $this->admin->createTopic($topic, 4, []);
        $first = joinGroup("$topic-group", $topic);
        pollUntil('all partitions', [$first], fn () => $first->partitions() === $all);
        $second = joinGroup("$topic-group", $topic);
        pollUntil('two partitions each', [$first, $second], function () use ($first, $second, $all) {
            [$a, $b] = [$first->partitions(), $second->partitions()];
            $both = [...$a, ...$b];
            sort($both);
            return count($a) === 2 && count($b) === 2 && $both === $all;
        });
        $shares = [$first->partitions(), $second->partitions()];
        foreach ($all as $p) {
            produce($topic, samples($p, 0, 10));
        }
        $got = pollUntil('20 records each', [$first, $second], fn ($got) => count($got[0]) >= 20 && count($got[1]) >= 20);
        foreach ([$first, $second] as $i => $member) {
            checkShare($got[$i], $shares[$i], 0, 10);
            foreach ($shares[$i] as $p) {
                $member->commit($topic, $p, 10);
            }
        }
        $second->close();
        pollUntil('all partitions again', [$first], fn () => $first->partitions() === $all);
        foreach ($all as $p) {
            produce($topic, samples($p, 10, 20));
        }
        [$rest] = pollUntil('40 records', [$first], fn ($got) => count($got[0]) >= 40);
        checkShare($rest, $all, 10, 20);
        $first->close();
        return '';
    }

    private function commitResume(string $topic): string
    {
        $this->admin->createTopic($topic, 1, []);
        produce($topic, samples(0, 0, 60));
        foreach ([[0, 25], [25, 60]] as [$lo, $hi]) {
            $member = joinGroup("$topic-group", $topic);
            [$got] = pollUntil('records', [$member], fn ($got) => count($got[0]) === $hi - $lo);
            expect($got, samples(0, $lo, $hi), 'records');
            $member->commit($topic, 0, $hi);
            expect($member->committed($topic, 0), $hi, 'committed');
            $member->close();
        }
        return '';
    }

    private function admin(string $topic): string
    {
        $a = $this->admin;
        $group = "$topic-group";
        $a->createTopic($topic, 2, ['retention.ms' => '86400000']);
        produce($topic, samples(0, 0, 20));
        $member = joinGroup($group, $topic);
        pollUntil('all partitions', [$member], fn () => $member->partitions() === [0, 1]);
        $member->commit($topic, 0, 7);
        $member->close();
        expect(strlen($a->clusterId()) > 0, true, 'cluster id');
        expect($a->topics()[$topic], 2, 'partitions');
        expect($a->topicConfigs($topic)['retention.ms'], '86400000', 'retention.ms');
        $a->createPartitions($topic, 3);
        expect($a->topics()[$topic], 3, 'partitions');
        expect($a->deleteRecords($topic, 0, 5), 5, 'low watermark');
        expect($a->watermarks($topic, 0), [5, 20], 'watermarks');
        expect(in_array($group, $a->groups(), true), true, 'the group is listed');
        $a->deleteGroup($group);
        expect(in_array($group, $a->groups(), true), false, 'the group is listed');
        $a->deleteTopic($topic);
        expect(isset($a->topics()[$topic]), false, 'the topic is listed');
        return 'clusterid,metadata,DescribeConfigs,CreatePartitions,DeleteRecords,query_watermark_offsets,ListConsumerGroups,DeleteGroups,DeleteTopics';
    }

    private function unknownTopic(string $topic): string
    {
        $consumer = new Consumer(['group.id' => 'none', 'allow.auto.create.topics' => 'false']);
        $consumer->subscribe($topic);
        try {
            fails(UNKNOWN_TOPIC_OR_PART, fn () => $consumer->poll(30000));
        } finally {
            $consumer->close();
        }
        return '';
    }

    private function tooLarge(string $topic): string
    {
        $this->admin->createTopic($topic, 1, ['max.message.bytes' => '5000']);
        fails(MSG_SIZE_TOO_LARGE, fn () => produce($topic, [text(0, random_bytes(20_000))]));
        $small = sample(0, 1);
        produce($topic, [$small]);
        $small->offset = 0;
        expect(read($topic, 0, 1), [$small], 'records');
        return '';
    }

    private function failover(string $topic): string
    {
        [$total, $pause] = [(int) getenv('FAILOVER_RECORDS'), (int) getenv('FAILOVER_MS')];
        $this->admin->createTopic($topic, 3, []);
        $producer = new Producer(['acks' => 'all', 'enable.idempotence' => 'true', 'linger.ms' => 0, 'delivery.timeout.ms' => 60000,
            'socket.timeout.ms' => 10000]);
        $longest = 0;
        for ($i = 0; $i < $total; $i++) {
            $began = hrtime(true);
            $producer->send($topic, [text($i % 3, (string) $i)]);
            $took = intdiv(hrtime(true) - $began, 1_000_000);
            $longest = max($longest, $took);
            if (($i + 1) % 25 === 0) {
                echo '@ progress ', $i + 1, "\n";
            }
            usleep(1000 * max(0, $pause - $took));
        }
        $producer->close();
        foreach ([0, 1, 2] as $p) {
            produce($topic, [text($p, 'end')]);
            $want = [...array_map(strval(...), range($p, $total - 1, 3)), 'end'];
            expect(array_map(fn (Record $r) => $r->value, read($topic, $p, count($want))), $want, "partition $p");
        }
        return "longest wait for an ack $longest ms";
    }
}

echo '@ version ', PHP_VERSION, ' (librdkafka ', Handle::ffi()->rd_kafka_version_str(), ")\n";
$scenarios = new Scenarios();
$status = 0;
foreach (explode(',', getenv('SCENARIOS')) as $name) {
    echo "@ start $name\n";
    $began = hrtime(true);
    try {
        $note = $scenarios->run($name);
        echo "@ ok $name ", intdiv(hrtime(true) - $began, 1_000_000), " $note\n";
    } catch (NotApplicable $e) {
        echo "@ na $name ", $e->getMessage(), "\n";
    } catch (Throwable $e) {
        $text = get_class($e) . ': ' . $e->getMessage() . ' (' . basename($e->getFile()) . ':' . $e->getLine() . ')';
        echo "@ fail $name ", intdiv(hrtime(true) - $began, 1_000_000), ' ', substr(preg_replace('/\s+/', ' ', $text), 0, 2000), "\n";
        $status = 1;
    }
}
exit($status);
