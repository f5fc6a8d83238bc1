// Time from a send to its acknowledgement, one record at a time. java -cp 'LIBS/*' AckLatency.java BOOTSTRAP TOPIC RECORDS BYTES
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class AckLatency {
  static final int WARM_UP = 5_000;

  public static void main(String[] args) throws Exception {
    int records = Integer.parseInt(args[2]);
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    settings.put("acks", "all");
    settings.put("linger.ms", "0");
    long[] nanos = new long[records];
    try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
      var record = new ProducerRecord<byte[], byte[]>(args[1], 0, null, new byte[Integer.parseInt(args[3])]);
      for (int i = -WARM_UP; i < records; i++) {
        long begin = System.nanoTime();
        producer.send(record).get();
        if (i >= 0) nanos[i] = System.nanoTime() - begin;
      }
    }
    Arrays.sort(nanos);
    System.out.printf("{\"p50Ms\": %.4f, \"p99Ms\": %.4f}%n", nanos[records / 2] / 1e6, nanos[(int) (records * 0.99)] / 1e6);
  }
}
