import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;

/** The series of records that every client produces. */
final class Sample {
    private Sample() {}

    static byte[] bytes(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    static ProducerRecord<byte[], byte[]> of(String topic, int partition, int i) {
        String number = String.format(Locale.ROOT, "%04d", i);
        byte[] key = i % 4 == 3 ? null : bytes("key-" + number);
        byte[] value = bytes("value-" + number + "-é✓-" + "abcdefghij".repeat(i % 7 * 10));
        var record = new ProducerRecord<>(topic, partition, Env.START_MS + i * 1000L, key, value);
        record.headers().add("index", bytes(Integer.toString(i)));
        record.headers().add("bytes", new byte[] {0x00, 0x01, (byte) 0xfe, (byte) 0xff});
        return record;
    }

    static List<ProducerRecord<byte[], byte[]>> range(String topic, int partition, int lo, int hi) {
        var list = new ArrayList<ProducerRecord<byte[], byte[]>>();
        for (int i = lo; i < hi; i++) {
            list.add(of(topic, partition, i));
        }
        return list;
    }

    /** All of a record that is to be compared. */
    private static String text(int partition, long offset, long timestamp, byte[] key, byte[] value, Iterable<Header> headers) {
        var s = new StringBuilder("partition " + partition + " offset " + offset + " timestamp " + timestamp);
        s.append(" key ").append(key == null ? "none" : new String(key, StandardCharsets.UTF_8));
        s.append(" value ").append(new String(value, StandardCharsets.UTF_8));
        for (Header h : headers) {
            s.append(" header ").append(h.key()).append('=').append(HexFormat.of().formatHex(h.value()));
        }
        return s.toString();
    }

    static void expect(ConsumerRecord<byte[], byte[]> got, ProducerRecord<byte[], byte[]> want, long offset) {
        Check.equal("record",
            text(got.partition(), got.offset(), got.timestamp(), got.key(), got.value(), got.headers()),
            text(want.partition(), offset, want.timestamp(), want.key(), want.value(), want.headers()));
    }

    static void expect(List<ConsumerRecord<byte[], byte[]>> got, List<ProducerRecord<byte[], byte[]>> want, long offset) {
        Check.equal("number of records", got.size(), want.size());
        for (int i = 0; i < got.size(); i++) {
            expect(got.get(i), want.get(i), offset + i);
        }
    }
}
