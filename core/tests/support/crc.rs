//! Cyclic redundancy checks bit by bit, from their parameters.

/// The parameters of Williams's model; input and output are both reflected or
/// both not.
///
/// Source: R. Williams, "A painless guide to CRC error detection algorithms",
/// 1993; parameters from the reveng catalogue.
#[derive(Debug)]
pub(crate) struct Bitwise {
    width: u32,
    poly: u64,
    init: u64,
    reflected: bool,
    xorout: u64,
}

pub(crate) const SMBUS: Bitwise =
    Bitwise { width: 8, poly: 0x07, init: 0, reflected: false, xorout: 0 };
pub(crate) const XMODEM: Bitwise =
    Bitwise { width: 16, poly: 0x1021, init: 0, reflected: false, xorout: 0 };
pub(crate) const KERMIT: Bitwise =
    Bitwise { width: 16, poly: 0x1021, init: 0, reflected: true, xorout: 0 };
pub(crate) const IBM_SDLC: Bitwise =
    Bitwise { width: 16, poly: 0x1021, init: 0xFFFF, reflected: true, xorout: 0xFFFF };
pub(crate) const ISO_HDLC: Bitwise = Bitwise {
    width: 32,
    poly: 0x04C1_1DB7,
    init: 0xFFFF_FFFF,
    reflected: true,
    xorout: 0xFFFF_FFFF,
};
pub(crate) const ISCSI: Bitwise = Bitwise {
    width: 32,
    poly: 0x1EDC_6F41,
    init: 0xFFFF_FFFF,
    reflected: true,
    xorout: 0xFFFF_FFFF,
};
pub(crate) const XZ: Bitwise = Bitwise {
    width: 64,
    poly: 0x42F0_E1EB_A9EA_3693,
    init: u64::MAX,
    reflected: true,
    xorout: u64::MAX,
};
pub(crate) const WE: Bitwise = Bitwise {
    width: 64,
    poly: 0x42F0_E1EB_A9EA_3693,
    init: u64::MAX,
    reflected: false,
    xorout: u64::MAX,
};

impl Bitwise {
    pub(crate) fn of(&self, bytes: &[u8]) -> u64 {
        let top = 1 << (self.width - 1);
        let mask = u64::MAX >> (64 - self.width);
        let mut register = self.init;
        for &byte in bytes {
            let byte = if self.reflected { byte.reverse_bits() } else { byte };
            register ^= u64::from(byte) << (self.width - 8);
            for _ in 0..8 {
                let carry = register & top != 0;
                register = (register << 1) & mask;
                if carry {
                    register ^= self.poly;
                }
            }
        }
        if self.reflected {
            register = register.reverse_bits() >> (64 - self.width);
        }
        register ^ self.xorout
    }
}
