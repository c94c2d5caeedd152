"""A second embedded model for tests of migration: the shipped weights, rounded otherwise."""

from pathlib import Path

from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, Keys
from gguf.quants import dequantize, quantize


def requantised(source: Path, target: Path, kind: GGMLQuantizationType = GGMLQuantizationType.Q4_0) -> Path:
    """Write the model in ``source`` to ``target`` with every quantised tensor in another format, and return the path."""
    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.get_field(Keys.General.ARCHITECTURE).contents())
    for field in reader.fields.values():
        if field.name != Keys.General.ARCHITECTURE and not field.name.startswith("GGUF."):
            of = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=of)
    for tensor in reader.tensors:
        if tensor.tensor_type == GGMLQuantizationType.F32:
            writer.add_tensor(tensor.name, tensor.data)
        else:
            writer.add_tensor(tensor.name, quantize(dequantize(tensor.data, tensor.tensor_type), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
