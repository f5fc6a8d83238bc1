// Reads a file of batches with Kafka's own classes, as its consumer does: one line per batch, and a failure if any is not valid.
//   java -cp 'LIBS/*' ReadBatches.java FILE

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.apache.kafka.common.record.internal.DefaultRecordBatch;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;

public class ReadBatches {
  public static void main(String[] args) throws Exception {
    byte[] bytes = Files.readAllBytes(Path.of(args[0]));
    int read = 0;
    for (MutableRecordBatch each : MemoryRecords.readableRecords(ByteBuffer.wrap(bytes)).batches()) {
      DefaultRecordBatch batch = (DefaultRecordBatch) each;
      batch.ensureValid();
      int records = 0;
      int valuesHash = 0;
      String control = "";
      for (Record record : batch) {
        record.ensureValid();
        records++;
        byte[] value = new byte[record.hasValue() ? record.value().remaining() : 0];
        if (record.hasValue()) record.value().get(value);
        valuesHash = 31 * valuesHash + Arrays.hashCode(value);
        for (var header : record.headers()) valuesHash = 31 * valuesHash + Arrays.hashCode(header.key().getBytes(StandardCharsets.UTF_8));
        if (batch.isControlBatch()) control = " " + EndTransactionMarker.deserialize(record).controlType();
      }
      System.out.printf("offset %d..%d %s producer %d/%d/%d transactional=%s records=%d hash=%d%s%n", batch.baseOffset(), batch.lastOffset(), batch.compressionType().name,
          batch.producerId(), batch.producerEpoch(), batch.baseSequence(), batch.isTransactional(), records, valuesHash, control);
      read += batch.sizeInBytes();
    }
    if (read != bytes.length) throw new IllegalStateException(read + " of " + bytes.length + " bytes were batches");
  }
}
