"""Makes the HDF5 and netCDF-4 files of this folder and truth.json, which says what h5py and netCDF4 find in them.

    python make.py            (h5py >= 3.12, netCDF4 >= 1.7, numpy)

Truth of chunks: H5Dget_chunk_info (offset, size, filter mask), proved against the file: the bytes at each offset are what
H5Dread_chunk gives. Truth of dimension names: netCDF-C. The files are made by nobody else and carry no foreign data.
"""
import ctypes, glob, json, os
import h5py, netCDF4, numpy as np
from h5py import h5d, h5f, h5p, h5s, h5t

os.chdir(os.path.dirname(os.path.abspath(__file__)))
VLEN, RNG = h5py.string_dtype(), np.random.default_rng(7)
# libhdf5 itself, for what h5py does not wrap (chunk options, shared messages).
LIB = ctypes.CDLL((glob.glob(os.path.join(os.path.dirname(h5py.__file__), '..', 'h5py.libs', 'libhdf5-*.so*')) or ['libhdf5.so'])[0])


def kinds(f):
    """One data set for every way to store one."""
    g = f.create_group('layout')
    a = lambda *s: np.arange(np.prod(s), dtype='i2').reshape(s)
    def low(name, shape, chunks, maxshape=None, early=False, bare=False, filters=(), dtype='i2', write=None):
        p = h5p.create(h5p.DATASET_CREATE)
        p.set_chunk(chunks)
        if early: p.set_alloc_time(h5d.ALLOC_TIME_EARLY)
        if bare: assert LIB.H5Pset_chunk_opts(ctypes.c_int64(p.id), ctypes.c_uint(2)) >= 0
        for x in filters:
            if x == 'shuffle': p.set_shuffle()
            if x == 'deflate': p.set_deflate(4)
            if x == 'fletcher32': p.set_fletcher32()
        m = None if maxshape is None else tuple(h5s.UNLIMITED if n is None else n for n in maxshape)
        d = h5py.Dataset(h5d.create(g.id, name.encode(), h5t.py_create(np.dtype(dtype)), h5s.create_simple(shape, m), p))
        d[...] = a(*shape) if write is None else write
        return d
    g.create_dataset('contiguous', data=a(6, 5))
    g.create_dataset('contiguous_big_endian', data=a(4, 3).astype('>f4'))
    g.create_dataset('contiguous_large', data=np.zeros((3, 700, 260), 'i1')) if f.large else None
    g.create_dataset('never_written', shape=(4, 3), dtype='f4', fillvalue=-7.5)
    g.create_dataset('never_written_chunks', shape=(40, 3), dtype='u1', chunks=(10, 2), fillvalue=9, compression='gzip')
    g.create_dataset('scalar', data=np.float64(2.5))
    g.create_dataset('no_cells', shape=(0, 4), dtype='i4', maxshape=(None, 4), chunks=(2, 4))
    p = h5p.create(h5p.DATASET_CREATE); p.set_layout(h5d.COMPACT)
    h5py.Dataset(h5d.create(g.id, b'compact', h5t.STD_I32BE, h5s.create_simple((7,)), p))[...] = np.arange(7)
    if f.new: low('single', (6, 5), (6, 5))
    low('single_filtered', (6, 5), (6, 5), filters=('shuffle', 'deflate'))
    if f.new: low('implicit', (7, 5), (3, 2), early=True)
    if f.new: low('implicit_can_grow', (7, 5), (3, 2), maxshape=(9, 20), early=True)
    low('fixed', (7, 5), (3, 2))
    if f.new: low('fixed_can_grow', (7, 5), (3, 2), maxshape=(9, 20))
    low('fixed_filtered', (7, 5), (3, 2), filters=('shuffle', 'deflate', 'fletcher32'))
    if f.long: low('fixed_paged', (1100,), (1,), dtype='u1', write=np.arange(1100) % 251)
    low('extensible', (7, 5), (3, 2), maxshape=(None, 5))
    if f.new: low('extensible_second', (7, 5), (3, 2), maxshape=(20, None))
    if f.new: low('extensible_filtered', (7, 5), (3, 2), maxshape=(None, 5), filters=('deflate',))
    if f.long: low('extensible_long', (900,), (3,), maxshape=(None,), dtype='u1', write=np.arange(900) % 251)
    if f.new: low('btree2', (7, 5), (3, 2), maxshape=(None, None))
    low('btree2_filtered', (20, 20), (3, 2), maxshape=(None, None), filters=('shuffle', 'fletcher32'))
    low('three_axes', (4, 6, 5), (2, 3, 2), maxshape=(None, None, 5), filters=('shuffle', 'deflate'))
    if f.new: low('bare_edges', (7, 5), (3, 2), bare=True, filters=('shuffle', 'deflate'))
    if f.new: low('bare_edges_extensible', (7, 5), (3, 2), maxshape=(None, 5), bare=True, filters=('deflate', 'fletcher32'))
    d = low('shrunk', (20, 4), (3, 2), maxshape=(None, 4)); d.resize((8, 4))
    d = g.create_dataset('sparse', shape=(100, 60), dtype='i4', chunks=(10, 10), maxshape=(None, 60), fillvalue=-1); d[15, 7] = 3; d[95, 59] = 4
    d = g.create_dataset('skipped', shape=(9, 4), dtype='i2', chunks=(3, 4), shuffle=True, compression='gzip', fletcher32=True)
    d[...] = a(9, 4)
    d.id.write_direct_chunk((3, 0), a(3, 4).tobytes(), filter_mask=0b111)
    d.id.write_direct_chunk((6, 0), __import__('zlib').compress(a(3, 4).tobytes()), filter_mask=0b101)


def types(f):
    g = f.create_group('type')
    for t in 'i1 u1 <i2 >i2 <u4 >u4 <i8 >u8 <f2 >f2 <f4 >f4 <f8 >f8'.split():
        n = np.dtype(t); v = np.array([1, 2, 100], dtype=n)
        d = g.create_dataset({'<': 'little_', '>': 'big_', '|': ''}[t[0] if t[0] in '<>' else '|'] + n.name, data=v, fillvalue=v[2])
        d.attrs.create('value', v[1]); d.attrs.create('values', v)
    g.create_dataset('bool', data=np.array([True, False]))
    g.create_dataset('enum', data=np.array([0, 3], 'u2'), dtype=h5py.enum_dtype({'A': 0, 'B': 3}, 'u2'))
    g.create_dataset('fixed_text', data=np.array([b'ab', b'cde'], 'S5'))
    g.create_dataset('text', data=['one', '', 'drei', 'vier'], dtype=VLEN)
    g.create_dataset('text_chunked', data=np.array([['a', 'b', 'c'], ['d', 'ä', 'f'], ['g', 'h', 'i']], object), dtype=VLEN, chunks=(2, 2))
    g.create_dataset('text_never_written', shape=(3,), dtype=VLEN)
    g.create_dataset('text_scalar', data='alone', dtype=VLEN)
    g.create_dataset('complex', data=np.zeros(3, 'c8'))
    g.create_dataset('compound', data=np.zeros(3, [('a', 'i4'), ('b', 'f4')]))
    g.create_dataset('opaque', data=np.zeros(3, 'V5'))
    g.create_dataset('reference', shape=(2,), dtype=h5py.ref_dtype)
    g.create_dataset('sequence', shape=(2,), dtype=h5py.vlen_dtype('i4'))
    g.create_dataset('array', shape=(2,), dtype=np.dtype(('f4', (3,))))
    g.create_dataset('null', data=h5py.Empty('f4'))
    g.create_dataset('lzf', data=np.zeros((8, 8)), chunks=(4, 4), compression='lzf')
    g.create_dataset('scaleoffset', data=np.zeros((8, 8), 'i2'), chunks=(4, 4), scaleoffset=4)
    t = h5t.IEEE_F32LE.copy(); t.set_fields(31, 23, 8, 0, 23); t.set_ebias(126)
    h5d.create(g.id, b'strange_float', t, h5s.create_simple((3,)))
    t = h5t.STD_I16LE.copy(); t.set_precision(12)
    h5d.create(g.id, b'twelve_bits', t, h5s.create_simple((3,)))
    g.create_dataset('of_named_type', data=np.ones(2), dtype=f['named'])
    v = h5py.VirtualLayout((4,), 'i2'); v[0:2] = h5py.VirtualSource('.', '/layout/x', (2,)); 
    g.create_virtual_dataset('virtual', v)
    g.create_dataset('external', shape=(4,), dtype='i2', external=[('none.bin', 0, 8)])


def attributes(f):
    for where, n in (('few', 3), ('many', 30)):
        g = f.create_group('attribute_' + where)
        for i in range(n): g.attrs[f'n{i:02}'] = np.int32(i)
        d = g.create_dataset('data', data=np.zeros(2, 'i1'), track_order=True)
        for i in reversed(range(n)): d.attrs[f'n{i:02}'] = np.float32(i) / 3
    a = f.create_group('attribute_kinds').attrs
    a['text'] = 'Grüße'; a['texts'] = ['a', 'bc', '']; a['one_text_in_a_list'] = np.array(['x'], object)
    a['bytes'] = np.bytes_(b'fixed'); a['byte_list'] = np.array([b'ab', b'c'], 'S4'); a['empty_text'] = ''
    a['latin'] = np.bytes_('é'.encode('latin-1')); a['null'] = h5py.Empty('f4'); a['null_text'] = h5py.Empty('S1')
    a['table'] = np.arange(6, dtype='>i2').reshape(2, 3); a['nan'] = np.array([np.nan, np.inf, -np.inf])
    a['large'] = np.uint64(2**64 - 1); a['bool'] = np.bool_(True); a['half'] = np.float16(0.1)
    a.create('array', np.arange(3, dtype='f4'), dtype=np.dtype(('f4', (3,))))
    a.create('named', 1.5, dtype=f['named'])
    a['compound'] = np.zeros((), [('a', 'i4')])


def links(f):
    g = f.create_group('link'); s = g.create_group('sub')
    d = s.create_dataset('data', data=np.arange(3.0)); g['hard'] = d
    g['soft'] = h5py.SoftLink('/link/sub/data'); s['soft_up'] = h5py.SoftLink('data'); g['over_soft'] = h5py.SoftLink('soft_group/data')
    g['soft_group'] = h5py.SoftLink('sub'); g['dangling'] = h5py.SoftLink('/nowhere'); g['circle'] = h5py.SoftLink('/link/circle')
    g['external'] = h5py.ExternalLink('other.h5', '/x'); s['cycle'] = f['/']; s['parent'] = g


def big_group(f):
    g = f.create_group('crowd', track_order=f.new)
    for i in reversed(range(12)): g.create_dataset(f'd{i:02}', data=np.int8(i))


def scales(f):
    g = f.create_group('scales')
    for n, k in (('t', 4), ('y', 3), ('x', 3)): g[n] = np.arange(float(k)); g[n].make_scale(n)
    d = g.create_dataset('v', data=np.zeros((4, 3, 3), 'f4'))
    for i, n in enumerate('tyx'): d.dims[i].attach_scale(g[n])
    g.create_dataset('phony', data=np.zeros((9, 9, 5), 'f4')); g.create_dataset('phony_too', data=np.zeros((5, 9), 'f4'))


class Open:
    """A file and what it may hold: a data set that is cut into pieces, what old formats cannot store, long chunk indexes."""
    def __init__(self, file, large, new, long): self.file, self.large, self.new, self.long = file, large, new, long
    def __getattr__(self, n): return getattr(self.file, n)
    def __getitem__(self, k): return self.file[k]
    def __setitem__(self, k, v): self.file[k] = v


def make_hdf5(name, libver, parts, userblock=0, large=False, shared=False):
    path = f'{name}.h5'
    if shared:
        fcpl = h5p.create(h5p.FILE_CREATE)
        assert LIB.H5Pset_shared_mesg_nindexes(ctypes.c_int64(fcpl.id), ctypes.c_uint(2)) >= 0
        assert LIB.H5Pset_shared_mesg_index(ctypes.c_int64(fcpl.id), ctypes.c_uint(0), ctypes.c_uint(0x82A), ctypes.c_uint(10)) >= 0  # dataspace, datatype, fill value, pipeline
        assert LIB.H5Pset_shared_mesg_index(ctypes.c_int64(fcpl.id), ctypes.c_uint(1), ctypes.c_uint(0x1000), ctypes.c_uint(10)) >= 0  # attributes
        h5 = h5py.File(h5f.create(path.encode(), h5f.ACC_TRUNC, fcpl=fcpl))
    else:
        h5 = h5py.File(path, 'w', libver=libver, userblock_size=userblock)
    f = Open(h5, large, libver != 'earliest' and not shared, libver == 'latest')
    for part in parts: part(f)
    h5.close()


def make_netcdf():
    with netCDF4.Dataset('groups.nc', 'w') as d:
        d.title = 'made here'
        d.createDimension('time', None); d.createDimension('lat', 4); d.createDimension('lon', 5); d.createDimension('station', 3); d.createDimension('other', 4)
        t = d.createVariable('time', 'f8', ('time',)); t.units = 'days since 2000-01-01'; t[:] = np.arange(6)
        d.createVariable('lat', 'f4', ('lat',))[:] = np.arange(4); d.createVariable('lon', 'f4', ('lon',))[:] = np.arange(5)
        v = d.createVariable('t2m', 'i2', ('time', 'lat', 'lon'), zlib=True, fletcher32=True, chunksizes=(2, 3, 5), fill_value=-999)
        v.scale_factor = 0.01; v.add_offset = 273.15; v.set_auto_scale(False); v[:] = RNG.integers(0, 1000, (6, 4, 5))
        d.createVariable('station_name', 'S1', ('station', 'lon'))[:] = np.array(list('abcdefghijklmno')).reshape(3, 5)
        d.createVariable('names', str, ('station',))[:] = np.array(['α', 'b', 'c'], object)
        d.createVariable('square', 'u1', ('lat', 'other'), contiguous=True)[:] = 7
        d.createVariable('crs', 'i4', ()).grid_mapping_name = 'latitude_longitude'
        d.createVariable('never', 'f4', ('lat', 'lon'))
        d.createVariable('lonlon', 'i8', ('lon', 'lon'))[:] = 1
        # A variable with a dimension's name on other dimensions, and a coordinate variable of two dimensions.
        d.createDimension('odd', 2); d.createVariable('odd', 'f4', ('lat',))[:] = 1
        d.createDimension('label', 3); d.createVariable('label', 'S1', ('label', 'lat'))[:] = 'x'
        g = d.createGroup('model'); g.note = 'in a group'; g.createDimension('level', 2); g.createDimension('lon', 6)
        h = g.createGroup('run')
        h.createVariable('q', '>f4', ('time', 'level', 'lat', 'lon'), endian='big', complevel=1, zlib=True, shuffle=False)[:] = np.ones((6, 2, 4, 6))
        h.createVariable('level', 'f8', ('level',))[:] = [1, 2]
        for i in range(12): v = setattr(h.variables['q'], f'a{11 - i}', i)
        e = d.createEnumType('u1', 'cloud_t', {'clear': 0, 'cumulus': 1})
        d.createVariable('cloud', e, ('station',))[:] = np.array([0, 1, 0], 'u1')
        d.createVariable('comp', d.createCompoundType(np.dtype([('a', 'i4')]), 'comp_t'), ('station',))
        v = d.createVariable('vl', d.createVLType('i4', 'vl_t'), ('station',))
    with netCDF4.Dataset('classic.nc', 'w', format='NETCDF4_CLASSIC') as d:
        d.createDimension('x', 3); d.createDimension('t', None); d.createVariable('v', 'f4', ('t', 'x'))[0:2] = 1


def scalar(x):
    if isinstance(x, (bytes, np.bytes_)):
        try: return x.decode()
        except UnicodeDecodeError: return x.decode('latin-1')
    if isinstance(x, str): return x
    if isinstance(x, (np.bool_, bool)): return int(x)
    if isinstance(x, np.integer): return int(x)
    x = float(x)
    return x if np.isfinite(x) else 'NaN' if np.isnan(x) else 'Infinity' if x > 0 else '-Infinity'


def type_name(d):
    if h5py.check_string_dtype(d): return 'str' if h5py.check_string_dtype(d).length is None else f'S{d.itemsize}'
    if h5py.check_enum_dtype(d): return 'int8' if d.kind == 'b' else d.name
    return 'int8' if d.kind == 'b' else d.name if d.kind in 'iuf' else f'S{d.itemsize}' if d.kind == 'S' else None


def attribute_truth(o):
    out = {}
    for k in o.attrs:
        a = h5py.h5a.open(o.id, k.encode())
        v = o.attrs[k]
        if isinstance(v, h5py.Empty): out[k] = {'type': 'str' if v.dtype.kind == 'S' else v.dtype.name, 'value': '' if v.dtype.kind == 'S' else []}; continue
        if isinstance(v, str): out[k] = {'type': 'str', 'value': v}; continue
        v = np.asarray(v)
        t = 'str' if v.dtype.kind in 'SOU' else type_name(v.dtype)
        if t is None or (v.dtype.kind == 'O' and not all(isinstance(x, (str, bytes)) for x in v.ravel())): out[k] = None; continue
        l = [scalar(x) for x in v.ravel()]
        out[k] = {'type': t, 'value': l[0] if len(l) == 1 else l}
    return out


FILTERS = {1: 'deflate', 2: 'shuffle', 3: 'fletcher32', 6: 'scaleoffset', 32000: 'lzf'}


def dataset_truth(d, path):
    dcpl, t = d.id.get_create_plist(), d.id.get_type()
    e = {'attributes': attribute_truth(d)}
    filters = [dcpl.get_filter(i)[0] for i in range(dcpl.get_nfilters())]
    simple = t.get_class() in (h5t.INTEGER, h5t.FLOAT, h5t.STRING, h5t.ENUM)
    strange = t.get_class() in (h5t.INTEGER, h5t.FLOAT) and (t.get_precision() != 8 * t.get_size() or (t.get_class() == h5t.FLOAT and t.get_ebias() not in (15, 127, 1023)))
    if not simple or strange or d.shape is None or dcpl.get_layout() == h5d.VIRTUAL or dcpl.get_external_count() or any(x not in FILTERS for x in filters):
        return {**e, 'refused': True}
    e.update(shape=list(d.shape), type=type_name(d.dtype), big=d.dtype.byteorder == '>', codecs=[FILTERS[x] for x in filters], fill=None)
    defined = dcpl.fill_value_defined()
    if defined == h5d.FILL_VALUE_USER_DEFINED and d.dtype.kind in 'iuf': e['fill'] = scalar(d.fillvalue)
    if e['type'] == 'str': e['texts'] = [scalar(x) for x in np.asarray(d[()], object).ravel()]; e['codecs'] = []; return e
    layout = dcpl.get_layout()
    if d.dtype.kind in 'iufb' and d.size <= 60: e['values'] = [scalar(x) for x in d[...].ravel()]
    raw = open(path, 'rb').read()
    if layout == h5d.CHUNKED:
        e['chunk_shape'] = list(d.chunks); e['chunks'] = []
        infos = [d.id.get_chunk_info(i) for i in range(d.id.get_num_chunks())] if all(d.shape) else []
        swizzled = d.maxshape[0] is not None and None in d.maxshape
        for at in np.ndindex(*[-(-n // c) for n, c in zip(d.shape, d.chunks)]):
            at = tuple(int(a * c) for a, c in zip(at, d.chunks))
            try: mask, stored = d.id.read_direct_chunk(at)
            except (OSError, RuntimeError, MemoryError): continue     # never written
            # HDF5 2.x tells wrong coordinates where a later dimension is the unlimited one: there, the bytes decide.
            if swizzled: match = [c for c in infos if raw[c.byte_offset:c.byte_offset + c.size] == stored]
            else: match = [c for c in infos if c.chunk_offset == at]
            assert len(match) == 1 and raw[match[0].byte_offset:][:match[0].size] == stored and match[0].size == len(stored), (path, d.name, at, match)
            e['chunks'].append([list(at), match[0].byte_offset, match[0].size, mask])
    elif layout == h5d.CONTIGUOUS:
        e['contiguous'] = None
        if d.id.get_offset() is not None:
            e['contiguous'] = [d.id.get_offset(), d.id.get_storage_size()]
            assert raw[d.id.get_offset():][:d.nbytes] == d[...].tobytes(), (path, d.name)
    else:
        e['compact'] = list(d[...].tobytes())
    return e


def truth(path):
    with h5py.File(path, 'r') as f:
        out = {'datasets': {}, 'groups': {}, 'userblock': f.userblock_size}
        out['groups']['/'] = attribute_truth(f)
        def walk(g):
            for k in g:
                l = g.get(k, getlink=True)
                if not isinstance(l, h5py.HardLink): continue
                o = g[k]; p = g.name.rstrip('/') + '/' + k
                if isinstance(o, h5py.Dataset): out['datasets'][p] = dataset_truth(o, path)
                elif isinstance(o, h5py.Group) and h5py.h5o.get_info(o.id).addr not in seen:
                    seen.add(h5py.h5o.get_info(o.id).addr); out['groups'][p] = attribute_truth(o); walk(o)
        seen = {h5py.h5o.get_info(f['/'].id).addr}
        walk(f)
    out['dimensions'] = {}
    if 'scales' in path or path.endswith('.nc'):
        with netCDF4.Dataset(path) as d:
            def names(g):
                for n, v in g.variables.items(): out['dimensions'][g.path.rstrip('/') + '/' + n] = list(v.dimensions)
                for h in g.groups.values(): names(h)
            names(d)
    return out


if __name__ == '__main__':
    named = lambda f: f.__setitem__('named', np.dtype('f8'))
    everything = [named, kinds, types, attributes, links, big_group]
    make_hdf5('earliest', 'earliest', [named, kinds, attributes, links, big_group])
    make_hdf5('v110', ('v110', 'v110'), [kinds])
    make_hdf5('latest', 'latest', everything)
    make_hdf5('user_block', 'earliest', [lambda f: f['/'].create_dataset('a', data=np.arange(8.0))], userblock=1024)
    make_hdf5('user_block_latest', 'latest', [lambda f: f['/'].create_dataset('a', data=np.arange(80), chunks=(7,), compression='gzip')], userblock=8192)
    make_hdf5('shared_messages', 'latest', [lambda f: [f['/'].create_dataset(f'd{i}', data=np.arange(8.0), chunks=(4,), compression='gzip', fillvalue=2.0).attrs.create('long_name', np.bytes_('the same everywhere')) for i in range(3)]], shared=True)
    make_hdf5('scales', 'earliest', [scales])
    make_netcdf()
    files = sorted(glob.glob('*.h5') + glob.glob('*.nc'))
    json.dump({'made_with': {'h5py': h5py.version.version, 'hdf5': h5py.version.hdf5_version, 'netcdf-c': netCDF4.getlibversion().split()[0]}, 'files': {p: truth(p) for p in files}}, open('truth.json', 'w'), separators=(',', ':'))
    print({p: os.path.getsize(p) for p in files + ['truth.json']})
